"""This container's identity, and the calls to the ApplicationMaster that programs use."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from typing import Any

from knit_container.application_master import NotInContainer, RefusedByMaster, application_master
from knit_container.signing import encode_body
from knit_container.store import LONGEST_POLL, KeyValueStore, encoded

app_id = os.environ.get("KNIT_APP_ID", "")
service = os.environ.get("KNIT_SERVICE", "main")
instance = int(os.environ.get("KNIT_INSTANCE", "0"))
instances = int(os.environ.get("KNIT_INSTANCES", "1"))
attempt = int(os.environ.get("KNIT_ATTEMPT", "1"))
inside = bool(app_id)


def _call(method: str, path: str, body: Any = None, query: dict[str, str] | None = None, wait: float = 0.0) -> Any:
    return application_master().call(method, path, body, query, wait)


#: The application's key-value store.
kv = KeyValueStore(_call, RefusedByMaster)


def progress(fraction: float, **metrics: float) -> None:
    """Report this container's progress.

    Args:
        fraction: 0.0 to 1.0.
        metrics: further numbers to show (loss=0.1).

    Raises:
        ValueError: `fraction` is out of range.
    """
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"progress is a fraction from 0.0 to 1.0, not {fraction!r}")
    if inside:
        _call("PUT", "/api/v1/progress", {"progress": float(fraction), "metrics": metrics})


def result(value: Any) -> None:
    """Return a JSON-able value of at most 256 KiB from this container; the last call counts.

    It is in `Application.result().values`, and is the XCom of an Airflow task.

    Raises:
        TypeError: the value cannot be JSON.
    """
    body = {"value": value}
    encode_body(body)
    if inside:
        _call("PUT", "/api/v1/result", body)


def ready() -> None:
    """Report that this container is ready: services that depend on its readiness may start."""
    if inside:
        _call("PUT", "/api/v1/ready", {})


def barrier(name: str, parties: int | None = None, timeout: float | None = None) -> None:
    """Wait until all parties have reached the barrier `name`.

    A barrier that has opened stays open: a restarted instance passes it at once.

    Args:
        name: of the barrier; a new one for each round ("epoch-3").
        parties: number of instances, of all services, that must reach it; by default all instances of this service.
        timeout: seconds; None: without limit.

    Raises:
        TimeoutError: some parties have not reached it in time.
    """
    if inside:
        _wait_for_barrier(name, parties, timeout)


def _wait_for_barrier(name: str, parties: int | None, timeout: float | None, clock: Any = time) -> None:
    body = {} if parties is None else {"parties": parties}
    deadline = None if timeout is None else clock.monotonic() + timeout
    while True:
        left = LONGEST_POLL if deadline is None else max(0.0, deadline - clock.monotonic())
        wait = max(1, int(min(left, LONGEST_POLL)))
        found = _call("PUT", f"/api/v1/barriers/{encoded(name)}", body, {"wait": str(wait)}, wait)
        if found["open"]:
            return
        if deadline is not None and clock.monotonic() >= deadline:
            raise TimeoutError(
                f"{found['arrived']} of {found['parties']} reached the barrier {name!r} within {timeout:g} s"
            )


def page(name: str, port: int, path: str = "/") -> None:
    """Show a web page of this container below the application's own page.

    Args:
        name: letters, digits, `.`, `_`, `~` and `-`; part of the address.
        port: where this container serves it, on its own node.
        path: its first page.
    """
    if inside:
        _call("PUT", f"/api/v1/pages/{name}", {"port": port, "path": path})


def application() -> dict[str, Any]:
    """State, services with their counts, pages: see docs/protocol.md, section 5."""
    return dict(_call("GET", "/api/v1/application"))


def environment() -> dict[str, Any]:
    """The Python environment of this process: its folder (`prefix`), and its `packages` with versions and digests.

    Read from the lock file of environments built by Knit, without a request; `packages` is empty without that file.
    """
    import json
    import sys

    prefix = os.environ.get("CONDA_PREFIX") or sys.prefix
    try:
        with open(os.path.join(prefix, "conda-meta", "knit.lock"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
            lock = json.load(file)
    except OSError:
        lock = {"packages": []}
    return {"prefix": prefix, **lock}


def containers() -> list[dict[str, Any]]:
    """All containers of the application: `id`, `service`, `instance`, `state`, `node`, `host` (empty before it is allocated) …"""
    rows = _call("GET", "/api/v1/containers")["containers"]
    return [{**row, "host": str(row.get("node") or "").rpartition(":")[0]} for row in rows]


def events(after: int = 0, follow: bool = False) -> Iterator[dict[str, Any]]:
    """The events of the application, oldest first.

    Args:
        after: only events with a greater number (`seq`).
        follow: continue with future events.
    """
    while True:
        wait = LONGEST_POLL if follow else 0.0
        query = {"after": str(after), **({"wait": str(int(wait))} if wait else {})}
        found = _call("GET", "/api/v1/events", None, query, wait)
        yield from found["events"]
        if not found["events"] and not follow:
            return
        after = found["next"]


def scale(service: str, instances: int | None = None, *, by: int | None = None) -> int:
    """Change the number of a service's instances; returns the new number. Only for services with `manages: true`.

    Args:
        service: name of the service.
        instances: the new number, or
        by: the difference.
    """
    if (instances is None) == (by is None):
        raise ValueError("give instances or by")
    change = {"instances": instances} if by is None else {"by": by}
    found = _call("PUT", f"/api/v1/services/{service}/scale", {**change, "token": secrets.token_hex(16)})
    return int(found["instances"])


def kill_container(container: str) -> None:
    """End one container (`main_0`, or YARN's id) and remove its instance. Only for services with `manages: true`."""
    _call("PUT", f"/api/v1/containers/{container}/kill", {"token": secrets.token_hex(16)})


def move(queue: str) -> None:
    """Move the application to another queue. Only for services with `manages: true`."""
    _call("PUT", "/api/v1/queue", {"queue": queue})


def set_priority(priority: int) -> None:
    """Change the application's priority. Only for services with `manages: true`."""
    _call("PUT", "/api/v1/priority", {"priority": priority})


def shutdown(outcome: str = "SUCCEEDED", diagnostics: str = "") -> None:
    """End the application. Only for services with `manages: true`.

    Args:
        outcome: "SUCCEEDED", "FAILED" or "KILLED".
        diagnostics: the reason, one line.
    """
    _call("PUT", "/api/v1/shutdown", {"outcome": outcome, "diagnostics": diagnostics})


__all__ = ["NotInContainer", "RefusedByMaster"]
