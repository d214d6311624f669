"""The application's key-value store, the same from inside containers and from the client.

Values are JSON. Every change has a revision; revisions only grow. They allow to compare and set (`expect=`), to wait for a key,
and to watch changes. The store survives a restart of the ApplicationMaster.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

LONGEST_POLL = 40.0  # seconds; the ApplicationMaster holds a call for at most 45


class Conflict(Exception):
    """The key is not at the expected revision; `revision` is the present one (0: the key does not exist)."""

    def __init__(self, key: str, revision: int) -> None:
        self.key, self.revision = key, revision
        super().__init__(f"{key!r} is at revision {revision}, not at the expected one")


class Entry(NamedTuple):
    """One key with its value and the revision of its last change."""

    key: str
    value: Any
    revision: int

    def __repr__(self) -> str:
        return f"Entry({_short(self.key)}, {_short(self.value)}, revision={self.revision})"


class Change(NamedTuple):
    """A change of a key: its new value, or its deletion (value None)."""

    key: str
    value: Any
    revision: int
    deleted: bool = False

    def __repr__(self) -> str:
        what = "deleted" if self.deleted else _short(self.value)
        return f"Change({_short(self.key)}, {what}, revision={self.revision})"


class KeyValueStore:
    """One application's store.

        kv["scheduler"] = "tcp://node07:8786"
        address = kv.wait("scheduler", timeout=60)

    Args:
        call: sends one call (method, path, body, query, seconds for a long poll) and returns the reply.
        refused: the exception that `call` raises for a refusal; has `status` and `reply`.
        clock: for deadlines and pauses; has `monotonic` and `sleep`.
    """

    def __init__(self, call: Callable[..., Any], refused: type[Exception], clock: Any = time) -> None:
        self._call, self._refused, self._clock = call, refused, clock

    def entry(self, key: str) -> Entry | None:
        """The key's value and revision; None when the key does not exist."""
        return self._entry(key, 0, 0.0)

    def get(self, key: str, default: Any = None) -> Any:
        """The key's value, or `default`."""
        found = self.entry(key)
        return default if found is None else found.value

    def __getitem__(self, key: str) -> Any:
        found = self.entry(key)
        if found is None:
            raise KeyError(key)
        return found.value

    def __contains__(self, key: str) -> bool:
        return self.entry(key) is not None

    def __setitem__(self, key: str, value: Any) -> None:
        self.put(key, value)

    def __delitem__(self, key: str) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def put(self, key: str, value: Any, *, expect: int | None = None) -> int:
        """Set a key (1 to 512 bytes) to a value (at most 256 KiB as JSON); returns the new revision.

        Args:
            key, value: the key and its new value.
            expect: set it only if the key is at this revision; 0: only if it does not exist.

        Raises:
            Conflict: the key is at another revision.
            TypeError: the value cannot be JSON.
        """
        body: dict[str, Any] = {"value": value, "token": secrets.token_hex(16)}
        if expect is not None:
            body["expect"] = expect
        return int(self._guarded(key, "PUT", f"/api/v1/kv/{encoded(key)}", body)["revision"])

    def delete(self, key: str, *, expect: int | None = None) -> bool:
        """Delete a key; False when it did not exist.

        Raises:
            Conflict: the key is not at revision `expect`.
        """
        body: dict[str, Any] = {"token": secrets.token_hex(16)}
        if expect is not None:
            body["expect"] = expect
        return bool(self._guarded(key, "PUT", f"/api/v1/kv/{encoded(key)}/delete", body)["deleted"])

    def append(self, prefix: str, value: Any) -> tuple[str, int]:
        """Set the key `prefix` plus the next number (0, 1, …, ten digits) to a value; returns the key and the number.

        Two callers never get the same number.
        """
        body = {"value": value, "token": secrets.token_hex(16)}
        found = self._call("PUT", f"/api/v1/kv/{encoded(prefix)}/append", body, {}, 0.0)
        return str(found["key"]), int(found["number"])

    def update(self, key: str, change: Callable[[Any], Any], default: Any = None) -> Any:
        """Set a key to `change(its value)` and return that; retry when another caller has changed the key meanwhile."""
        while True:
            now = self.entry(key)
            value = change(default if now is None else now.value)
            try:
                self.put(key, value, expect=0 if now is None else now.revision)
                return value
            except Conflict:
                continue

    def prefix(self, prefix: str = "") -> dict[str, Any]:
        """All keys with this prefix, and their values, sorted by key."""
        found: dict[str, Any] = {}
        after, more = None, True
        while more:
            page = self._page(prefix, after, 0.0, True)
            found.update({row["key"]: row["value"] for row in page["entries"]})
            after, more = page["revision"], page["more"]
        return dict(sorted(found.items()))

    def keys(self, prefix: str = "") -> list[str]:
        """All keys with this prefix, sorted."""
        found: list[str] = []
        after, more = None, True
        while more:
            page = self._page(prefix, after, 0.0, False)
            found += [row["key"] for row in page["entries"]]
            after, more = page["revision"], page["more"]
        return sorted(set(found))

    def wait(self, key: str, timeout: float | None = None, *, after: int = 0) -> Any:
        """Wait until the key exists (at a revision greater than `after`); its value.

        Args:
            key: the key.
            timeout: seconds; None: without limit.
            after: a revision.

        Raises:
            TimeoutError: the key was not set in time.
        """
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while True:
            left = LONGEST_POLL if deadline is None else max(0.0, deadline - self._clock.monotonic())
            found = self._entry(key, after, min(left, LONGEST_POLL))
            if found is not None:
                return found.value
            if deadline is not None and self._clock.monotonic() >= deadline:
                raise TimeoutError(f"{key!r} was not set within {timeout} s")

    def watch(self, prefix: str = "", *, after: int | None = None, timeout: float | None = None) -> Iterator[Change]:
        """Changes of keys with this prefix, as they happen.

        Args:
            prefix: the beginning of the keys.
            after: only changes after this revision; None: begin with the present keys.
            timeout: seconds after which it ends; None: it continues until the application ends or the caller stops.
        """
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        position = after
        while True:
            left = LONGEST_POLL if deadline is None else max(0.0, deadline - self._clock.monotonic())
            page = self._page(prefix, position, 0.0 if position is None else min(left, LONGEST_POLL), True)
            for key in page["deleted"]:
                yield Change(key, None, page["revision"], deleted=True)
            for row in page["entries"]:
                yield Change(row["key"], row["value"], row["revision"])
            position = page["revision"]
            if deadline is not None and self._clock.monotonic() >= deadline:
                return

    def _entry(self, key: str, after: int, wait: float) -> Entry | None:
        query = {"after": str(after)} if after else {}
        if wait >= 1:
            query["wait"] = str(int(wait))
        try:
            found = self._call("GET", f"/api/v1/kv/{encoded(key)}", None, query, wait)
        except self._refused as error:
            if getattr(error, "status", 0) != 404:
                raise
            if 0 < wait < 1:
                self._clock.sleep(wait)
            return None
        return Entry(found["key"], found["value"], found["revision"])

    def _page(self, prefix: str, after: int | None, wait: float, values: bool) -> Any:
        query = {"values": str(int(values))}
        if after is not None:
            query["after"] = str(after)
        if prefix:
            query["prefix"] = encoded(prefix)
        if wait >= 1:
            query["wait"] = str(int(wait))
        page = self._call("GET", "/api/v1/kv", None, query, wait)
        if 0 < wait < 1 and not page["entries"] and not page["deleted"]:
            self._clock.sleep(wait)
        return page

    def _guarded(self, key: str, method: str, path: str, body: Any) -> Any:
        try:
            return self._call(method, path, body, {}, 0.0)
        except self._refused as error:
            reply = getattr(error, "reply", None)
            if getattr(error, "status", 0) == 409 and isinstance(reply, dict) and reply.get("error") == "conflict":
                raise Conflict(key, int(reply["revision"])) from None
            raise


def encoded(key: str) -> str:
    """Base64url without padding: the ResourceManager's proxy changes other characters."""
    if not key:
        raise ValueError("a key must not be empty")
    return base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()


def _short(value: Any) -> str:
    """On one line of at most 100 characters."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:99]}…"


__all__ = ["Change", "Conflict", "Entry", "KeyValueStore"]
