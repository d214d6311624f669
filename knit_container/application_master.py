"""Calls from a container to its ApplicationMaster, signed with the container's token.

The ApplicationMaster's address changes when it restarts: after a failed call, the application's file `master` is read again over
WebHDFS, for up to RETRY_TIMEOUT.
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
from urllib.parse import urlencode

from knit_container.credentials import secrets_in
from knit_container.hdfs import HdfsFault, identity
from knit_container.secret import Hidden
from knit_container.signing import BadReply, encode_body, open_reply, query_string, sign
from knit_container.tls import connect, context

RETRY_TIMEOUT = 300.0  # seconds that a call waits for a restarting ApplicationMaster
_CONNECT, _TIMEOUT = 3.0, 10.0  # seconds for a connection, and for a reply in addition to a long poll
# Seconds: in the first 30 s pauses of at most 1 s, then 3 s, as a thousand containers may read from HDFS at the same time.
_SOON, _EARLY, _LATER = 30.0, 1.0, 3.0


class NotInContainer(RuntimeError):
    """The call needs an ApplicationMaster, and this process runs in none of Knit's containers."""


class RefusedByMaster(RuntimeError):
    """The ApplicationMaster refused the call; `status` is the HTTP status, `reply` the response's content."""

    def __init__(self, status: int, message: str, reply: Any = None) -> None:
        self.status, self.reply = status, reply
        super().__init__(f"the ApplicationMaster refused ({status}): {message}")


class ApplicationMaster:
    """The ApplicationMaster of this container: signs calls with its token, finds a restarted ApplicationMaster."""

    def __init__(self, environ: dict[str, str], clock: Any = time) -> None:
        try:
            self._address = environ["KNIT_MASTER"]
            self._attempt = int(environ["KNIT_MASTER_ATTEMPT"])
            self._id = environ["CONTAINER_ID"]
            location = environ["HADOOP_TOKEN_FILE_LOCATION"]
        except KeyError as error:
            raise NotInContainer(f"{error.args[0]} is not set: this is not one of Knit's containers") from None
        self._files = [url for url in environ.get("KNIT_MASTER_FILE", "").split(",") if url]
        self._token = Hidden(secrets_in(Path(location).read_bytes())["knit.token"])
        self._environ, self._skew, self._clock = environ, 0, clock
        self._lock = threading.Lock()
        self._local = threading.local()
        # containers connect to the cluster directly, also when http_proxy is set
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if any(url.startswith("https:") for url in self._files):
            handlers.append(urllib.request.HTTPSHandler(context=context()))
        self._opener = urllib.request.build_opener(*handlers)

    def call(
        self, method: str, path: str, body: Any = None, query: dict[str, str] | None = None, wait: float = 0.0
    ) -> Any:
        """Send one call; retry while the ApplicationMaster restarts.

        Args:
            method, path, body, query: the request; path from `/api` on.
            wait: additional seconds for the reply of a long poll.

        Raises:
            RefusedByMaster: the ApplicationMaster refused the call.
            ConnectionError: it was unreachable for RETRY_TIMEOUT seconds.
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
                self._close_connection()
                now = self._clock.monotonic()
                failing_since = now if failing_since is None else failing_since
                if now > deadline:
                    raise ConnectionError(
                        f"no ApplicationMaster at {address} for {RETRY_TIMEOUT:.0f} s: {error}"
                    ) from None
                self._clock.sleep(pause * random.uniform(0.5, 1.0))  # so that not all containers retry at once
                pause = min(2 * pause, _EARLY if now - failing_since < _SOON else _LATER)
                self._read_address()
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
        """Send over this thread's connection, which is reused; a connection that the server has closed is opened again."""
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
            self._close_connection()
            kept = self._local.connection = connect("http", address, _CONNECT)
            self._local.address = address
        if kept.sock is None:
            kept.connect()  # with its short time-out: an unreachable node must not take the time of a long poll
        kept.sock.settimeout(_TIMEOUT + wait)
        headers = {"Content-Type": "application/json"} if raw else {}
        kept.request(method, f"{path}?{query_string(signed)}", body=raw or None, headers=headers)
        response = kept.getresponse()
        return response.status, open_reply(self._token.reveal(), signed["knonce"], response.status, response.read())

    def _close_connection(self) -> None:
        kept = getattr(self._local, "connection", None)
        if kept is not None:
            kept.close()
            self._local.connection = None

    def _read_address(self) -> None:
        for url in self._files:
            try:
                query = urlencode({"op": "OPEN", **identity(self._environ)})
                with self._opener.open(f"{url}?{query}", timeout=_TIMEOUT) as response:
                    found = json.loads(response.read())
                with self._lock:
                    self._address, self._attempt = found["address"], int(found["attempt"])
                return
            except (OSError, ValueError, KeyError, HdfsFault):
                continue


_instance: ApplicationMaster | None = None
_instance_lock = threading.Lock()


def application_master() -> ApplicationMaster:
    """This container's ApplicationMaster.

    Raises:
        NotInContainer: this process runs in none of Knit's containers.
    """
    global _instance
    with _instance_lock:
        if _instance is None:
            _instance = ApplicationMaster(dict(os.environ))
        return _instance
