"""Writes files into the application's folder on HDFS, over WebHDFS, from inside a container."""

from __future__ import annotations

import http.client
import io
import json
import os
import time
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import quote, urlencode, urlsplit

_TIMEOUT = 60.0  # seconds for one reply
_PATIENCE = 300.0  # seconds for HDFS to come back
_TRIES = 3  # at least: one of a large result may take longer than that


class HdfsFault(Exception):
    """HDFS did not do it; what it said."""


def write(name: str, data: BinaryIO) -> None:
    """Put a file at `<the application's folder>/<name>`, whole or not at all; one that is there is replaced.

    Args:
        name: relative path; folders are made.
        data: seekable, read from its beginning for each try.

    Raises:
        HdfsFault: it could not be written for five minutes, or was refused.
    """
    folder, _, last = name.rpartition("/")
    temporary = f"{folder}/.{last}.{os.environ.get('CONTAINER_ID', os.getpid())}" if folder else f".{last}.tmp"
    deadline, pause, tries = time.monotonic() + _PATIENCE, 0.5, 0
    while True:
        tries += 1
        try:
            data.seek(0)
            _create(temporary, data)
            _rename(temporary, name)
            return
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > deadline and tries >= _TRIES:
                raise HdfsFault(f"{name} could not be written to HDFS: {error!r}") from None
        time.sleep(pause)
        pause = min(2 * pause, 10.0)


def write_bytes(name: str, data: bytes) -> None:
    """The same for bytes."""
    write(name, io.BytesIO(data))


def _folders() -> list[str]:
    """WebHDFS URLs of the application's folder, one for each NameNode."""
    return [url.rpartition("/")[0] for url in os.environ.get("KNIT_MASTER_FILE", "").split(",") if url]


def _create(name: str, data: BinaryIO) -> None:
    def send(url: str) -> None:
        status, headers, body = _put(url, {"op": "CREATE", "overwrite": "true", "permission": "600"}, None)
        location = headers.get("Location", "")
        if status != 307 or not location:
            raise _fault(status, body)
        place = urlsplit(location)
        connection = http.client.HTTPConnection(place.netloc, timeout=_TIMEOUT)
        try:
            connection.request(
                "PUT", f"{place.path}?{place.query}", body=data, headers={"Content-Type": "application/octet-stream"},
                encode_chunked=False,
            )  # fmt: skip
            reply = connection.getresponse()
            text = reply.read()
        finally:
            connection.close()
        if reply.status != 201:
            raise _fault(reply.status, text)

    _any_namenode(name, send)


def _rename(source: str, target: str) -> None:
    def send(url: str) -> None:
        folder = urlsplit(url).path.partition("/webhdfs/v1")[2]
        destination = f"{folder[: -len(source) - 1]}/{target}"
        status, _, body = _put(url, {"op": "RENAME", "destination": destination, "renameoptions": "OVERWRITE"}, None)
        if status != 200:
            raise _fault(status, body)

    _any_namenode(source, send)


def _any_namenode(name: str, send: Callable[[str], None]) -> None:
    """The first NameNode that serves; a standby says that it is one."""
    last: Exception | None = None
    for folder in _folders():
        try:
            send(f"{folder}/{quote(name)}")
            return
        except (OSError, http.client.HTTPException) as error:
            last = error
    raise last or HdfsFault("this container does not know its application's folder on HDFS (KNIT_MASTER_FILE)")


def _put(url: str, query: dict[str, str], body: bytes | None) -> tuple[int, dict[str, str], bytes]:
    place = urlsplit(url)
    user = os.environ.get("HADOOP_USER_NAME", "")
    full = urlencode({**query, **({"user.name": user} if user else {})})
    connection = http.client.HTTPConnection(place.netloc, timeout=_TIMEOUT)
    try:
        connection.request("PUT", f"{place.path}?{full}", body=body, headers={"X-XSRF-Header": "knit"})
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        connection.close()


def _fault(status: int, body: bytes) -> Exception:
    """A passing fault as OSError, a refusal as HdfsFault."""
    try:
        found = json.loads(body)["RemoteException"]
        name, message = found["exception"], found["message"].split("\n")[0]
    except (ValueError, KeyError, TypeError):
        name, message = "", f"status {status}"
    passing = status >= 500 or name in {"StandbyException", "RetriableException", "SafeModeException"}
    return OSError(message) if passing else HdfsFault(f"HDFS refused: {message}")
