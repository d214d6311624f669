"""Calls to the ApplicationMaster from inside a container: signed with the container's token.

The ApplicationMaster's address changes when it restarts: on a failure the `master` file of the application is read
again over WebHDFS, for as long as `PATIENCE`.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from knit_container.credentials import secrets_in
from knit_container.hidden import Hidden
from knit_container.signing import BadReply, encode_body, open_reply, query_string, sign
from knit_container.tls import connect, context

RETRY_TIMEOUT = 300.0  # seconds a call waits for an ApplicationMaster that restarts
_CONNECT, _TIMEOUT = 3.0, 10.0  # seconds for a connection, and for a reply beside its own time
_SOON, _EARLY, _LATER = 30.0, 1.0, 3.0  # seconds: pauses are short at first; a thousand containers ask HDFS meanwhile


class NotInContainer(RuntimeError):
    """The call needs an ApplicationMaster and this process has none."""


class RefusedByMaster(RuntimeError):
    """The ApplicationMaster refused the call; `status` is HTTP's, `reply` what it said."""

    def __init__(self, status: int, message: str, reply: Any = None) -> None:
        self.status, self.reply = status, reply
        super().__init__(f"the ApplicationMaster refused ({status}): {message}")


class Master:
    """The ApplicationMaster, for one container: signs with the container's token, follows it over a restart."""

    def __init__(self, environ: dict[str, str], clock: Any = time) -> None:
        try:
            self._address = environ["KNIT_MASTER"]
            self._attempt = int(environ["KNIT_MASTER_ATTEMPT"])
            self._id = environ["CONTAINER_ID"]
            location = environ["HADOOP_TOKEN_FILE_LOCATION"]
        except KeyError as error:
            raise NotInContainer(f"{error.args[0]} is not set: this is not one of Knit's containers") from None
        self._files = [url for url in environ.get("KNIT_MASTER_FILE", "").split(",") if url]
        self._user = environ.get("HADOOP_USER_NAME", "")
        self._token = Hidden(secrets_in(Path(location).read_bytes())["knit.token"])
        self._skew, self._clock = 0, clock
        self._lock = threading.Lock()
        self._local = threading.local()
        # containers talk to the cluster directly, whatever http_proxy says
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if any(url.startswith("https:") for url in self._files):
            handlers.append(urllib.request.HTTPSHandler(context=context()))
        self._opener = urllib.request.build_opener(*handlers)

    def call(
        self, method: str, path: str, body: Any = None, query: dict[str, str] | None = None, wait: float = 0.0
    ) -> Any:
        """One call; waits out a restart of the ApplicationMaster.

        Args:
            method, path, body, query: the request; path from `/api` on.
            wait: seconds that the reply may take by itself (a long poll).

        Raises:
            RefusedByMaster: it understood and refused.
            ConnectionError: it could not be reached for `PATIENCE` seconds.
        """
        raw = b"" if body is None else encode_body(body)
        deadline, pause, stale = self._clock.monotonic() + RETRY_TIMEOUT + wait, 0.1, 0
        failing_since: float | None = None
        while True:
            with self._lock:
                address, number = self._address, self._attempt
            try:
                status, reply = self._send(address, number, method, path, query or {}, raw, wait)
                if status == 503:
                    raise ConnectionError("it is busy")
            except (OSError, http.client.HTTPException, BadReply) as error:
                self._hang_up()
                now = self._clock.monotonic()
                failing_since = now if failing_since is None else failing_since
                if now > deadline:
                    raise ConnectionError(
                        f"no ApplicationMaster at {address} for {RETRY_TIMEOUT:.0f} s: {error}"
                    ) from None
                self._clock.sleep(pause * random.uniform(0.5, 1.0))  # not all containers at once
                pause = min(2 * pause, _EARLY if now - failing_since < _SOON else _LATER)
                self._look_again()
                continue
            if status < 300:
                return reply
            code = reply.get("error", "") if isinstance(reply, dict) else ""
            if code == "stale" and stale < 3:
                stale += 1
                with self._lock:
                    self._skew = int(reply["time"]) - int(self._clock.time() * 1000)
                    self._attempt = int(reply["attempt"])
                continue
            message = str(reply.get("message", code)) if isinstance(reply, dict) else ""
            raise RefusedByMaster(status, message, reply)

    def _send(
        self, address: str, number: int, method: str, path: str, query: dict[str, str], raw: bytes, wait: float
    ) -> tuple[int, Any]:
        """Over this thread's connection, which is kept; one that the other side has closed meanwhile is made anew."""
        signed = sign(
            self._token.reveal(),
            self._id,
            number,
            method,
            path,
            query,
            raw,
            now_ms=int(self._clock.time() * 1000) + self._skew,
        )
        kept = getattr(self._local, "connection", None)
        if kept is None or self._local.address != address:
            self._hang_up()
            kept = self._local.connection = connect("http", address, _CONNECT)
            self._local.address = address
        if kept.sock is None:
            kept.connect()  # a node that is gone is no long poll
        kept.sock.settimeout(_TIMEOUT + wait)
        headers = {"Content-Type": "application/json"} if raw else {}
        kept.request(method, f"{path}?{query_string(signed)}", body=raw or None, headers=headers)
        response = kept.getresponse()
        return response.status, open_reply(self._token.reveal(), signed["knonce"], response.status, response.read())

    def _hang_up(self) -> None:
        kept = getattr(self._local, "connection", None)
        if kept is not None:
            kept.close()
            self._local.connection = None

    def _look_again(self) -> None:
        user = f"&user.name={quote(self._user)}" if self._user else ""
        for url in self._files:
            try:
                with self._opener.open(f"{url}?op=OPEN{user}", timeout=_TIMEOUT) as response:
                    found = json.loads(response.read())
                with self._lock:
                    self._address, self._attempt = found["address"], int(found["attempt"])
                return
            except (OSError, ValueError, KeyError):
                continue


_one: Master | None = None
_one_lock = threading.Lock()


def master() -> Master:
    """This container's ApplicationMaster.

    Raises:
        NotInContainer: this process runs in none of Knit's containers.
    """
    global _one
    with _one_lock:
        if _one is None:
            _one = Master(dict(os.environ))
        return _one
