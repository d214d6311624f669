"""Reads and writes files in the application's folder on HDFS, over WebHDFS, from inside a container.

Over HTTP or HTTPS (`knit_container.tls`), to NameNodes or HttpFS, which differ in `_rename`.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from knit_container.credentials import BadCredentials, tokens_in
from knit_container.tls import connect

T = TypeVar("T")
_TIMEOUT = 60.0  # seconds for one reply
_RETRY_TIMEOUT = 300.0  # seconds for HDFS to come back
_TRIES = 3  # minimum: a single try with a large result may take longer than _RETRY_TIMEOUT
# Exceptions of a server that are transient: it is standby, it restarts, a server behind it does not answer.
_TRANSIENT = {
    "StandbyException", "RetriableException", "SafeModeException", "IOException", "EOFException", "SocketException",
    "SocketTimeoutException", "ConnectException", "ConnectTimeoutException", "NoRouteToHostException",
    "InterruptedIOException", "ClosedChannelException", "NotReplicatedYetException", "RecoveryInProgressException",
    "LeaseExpiredException",
}  # fmt: skip
TOKEN_KINDS = {"HDFS_DELEGATION_TOKEN", "WEBHDFS delegation", "SWEBHDFS delegation"}


class HdfsFault(Exception):
    """HDFS refused a request, or was unavailable for too long; `exception` is the name of the server's exception."""

    def __init__(self, message: str, exception: str = "") -> None:
        self.exception = exception
        super().__init__(message)


def write(name: str, data: BinaryIO, clock: Any = time) -> None:
    """Write the file `<application's folder>/<name>` atomically; an existing one is replaced.

    Args:
        name: relative path; folders are created.
        data: seekable; read from its beginning in each try.
        clock: for deadline and pauses.

    Raises:
        HdfsFault: it could not be written for five minutes, or HDFS refused it.
    """
    folder, _, last = name.rpartition("/")
    # a unique name: a container may be restarted while its previous attempt still writes
    temporary = f"{folder}/.{last}.{secrets.token_hex(8)}.tmp".lstrip("/")
    deadline, pause, tries = clock.monotonic() + _RETRY_TIMEOUT, 0.5, 0
    try:
        while True:
            tries += 1
            try:
                data.seek(0)
                _create(temporary, data)
                _rename(temporary, name)
                return
            except ssl.SSLCertVerificationError as error:  # not transient
                raise HdfsFault(f"{name} could not be written to HDFS: {error.verify_message} (see KNIT_CA)") from None
            except (OSError, http.client.HTTPException) as error:
                if clock.monotonic() > deadline and tries >= _TRIES:
                    raise HdfsFault(f"{name} could not be written to HDFS: {error!r}") from None
            clock.sleep(pause)
            pause = min(2 * pause, 10.0)
    except BaseException:
        _delete_temporary(temporary)
        raise


def write_bytes(name: str, data: bytes) -> None:
    """`write` for bytes."""
    write(name, io.BytesIO(data))


def read(name: str, limit: int) -> bytes | None:
    """The content of `<application's folder>/<name>`; None when it does not exist. One try, without repetition.

    Args:
        name: relative path.
        limit: maximum size in bytes.

    Raises:
        HdfsFault: HDFS refused it or does not answer, or the file is larger.
    """

    def get(url: str) -> bytes:
        status, headers, body = _request("GET", url, {"op": "OPEN", "length": str(limit + 1)})
        if status == 307:
            place = _redirected(url, headers.get("Location", ""))
            connection = connect(place.scheme, place.netloc, _TIMEOUT)
            try:
                connection.request("GET", f"{place.path}?{place.query}", headers={"X-XSRF-Header": "knit"})
                reply = connection.getresponse()
                status, body = reply.status, reply.read()
            finally:
                connection.close()
        if status != 200:
            raise _fault(status, body)
        return body

    try:
        found = _any_namenode(name, get)
    except HdfsFault as error:
        if error.exception == "FileNotFoundException":
            return None
        raise
    except (OSError, http.client.HTTPException) as error:
        raise HdfsFault(f"{name} could not be read from HDFS: {type(error).__name__}") from None
    if len(found) > limit:
        raise HdfsFault(f"{name} on HDFS has more than {limit} bytes")
    return found


def _folders() -> list[str]:
    """WebHDFS URLs of the application's folder, one for each NameNode."""
    return [url.rpartition("/")[0] for url in os.environ.get("KNIT_MASTER_FILE", "").split(",") if url]


def _create(name: str, data: BinaryIO) -> None:
    def send(url: str) -> None:
        status, headers, body = _request("PUT", url, {"op": "CREATE", "overwrite": "true", "permission": "600"})
        location = headers.get("Location", "")
        if status != 307 or not location:
            raise _fault(status, body)
        place = _redirected(url, location)
        connection = connect(place.scheme, place.netloc, _TIMEOUT)
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


def _redirected(url: str, location: str) -> SplitResult:
    """The DataNode's address. A NameNode with https must not lead to one without: the token would go there, too."""
    place = urlsplit(location)
    if url.startswith("https:") and place.scheme != "https":
        raise HdfsFault(f"the NameNode redirects from https to {place.scheme}://{place.netloc}, which is not encrypted")
    return place


def _rename(source: str, target: str) -> None:
    """Rename a file, and replace an existing target.

    A NameNode does that in one step. HttpFS ignores `renameoptions` and answers 200 with "false" when the target exists. Then
    the old file is deleted first, so that the target is missing for a moment. With several writers the content of one remains.
    """

    def send(url: str) -> None:
        folder = url[: -len(quote(source)) - 1]
        path = unquote(urlsplit(folder).path.partition("/webhdfs/v1")[2])
        query = {"op": "RENAME", "destination": f"{path}/{target}"}
        if _renamed(url, {**query, "renameoptions": "OVERWRITE"}):
            return
        status, _, body = _request("DELETE", f"{folder}/{quote(target)}", {"op": "DELETE"})
        if status != 200:
            raise _fault(status, body)
        if not _renamed(url, query):
            raise OSError(f"{source} was not renamed to {target}")  # another writer was faster: retry the whole write

    _any_namenode(source, send)


def _renamed(url: str, query: dict[str, str]) -> bool:
    status, _, body = _request("PUT", url, query)
    if status != 200:
        raise _fault(status, body)
    if not body:
        return True  # a NameNode's answer to a RENAME with options
    try:
        return bool(json.loads(body)["boolean"])
    except (ValueError, KeyError, TypeError):
        raise HdfsFault(f"what answers at {urlsplit(url).netloc} does not speak WebHDFS") from None


def _delete_temporary(name: str) -> None:
    """Delete a temporary file, and ignore errors."""
    try:
        _any_namenode(name, lambda url: _request("DELETE", url, {"op": "DELETE"}))
    except (OSError, http.client.HTTPException, HdfsFault):
        return


def _any_namenode(name: str, send: Callable[[str], T]) -> T:
    """Send to the NameNodes in turn until one accepts, and return its answer; a standby refuses."""
    last: Exception | None = None
    for folder in _folders():
        try:
            return send(f"{folder}/{quote(name)}")
        except (OSError, http.client.HTTPException) as error:
            last = error
    raise last or HdfsFault("this container does not know its application's folder on HDFS (KNIT_MASTER_FILE)")


def _request(method: str, url: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    place = urlsplit(url)
    full = urlencode({**query, **identity()})
    connection = connect(place.scheme, place.netloc, _TIMEOUT)
    try:
        connection.request(method, f"{place.path}?{full}", headers={"X-XSRF-Header": "knit"})
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        connection.close()


def identity(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The parameter that says who asks: this container's newest delegation token for HDFS, else the user's name.

    Args:
        environ: the container's environment variables.

    Raises:
        HdfsFault: the tokens cannot be read.
    """
    location = environ.get("HADOOP_TOKEN_FILE_LOCATION", "")
    if location:
        try:
            tokens = [t for t in tokens_in(Path(location).read_bytes()).values() if t.kind in TOKEN_KINDS]
        except (OSError, BadCredentials) as error:
            raise HdfsFault(f"the tokens of this container cannot be read from {location}: {error}") from None
        if tokens:
            return {"delegation": max(tokens, key=lambda token: token.issued or 0).encode()}
    user = environ.get("HADOOP_USER_NAME", "")
    return {"user.name": user} if user else {}


def _fault(status: int, body: bytes) -> Exception:
    """OSError for a transient fault, HdfsFault for a refusal: by the exception's name, as HttpFS also refuses with status 500."""
    try:
        found = json.loads(body)["RemoteException"]
        name, message = str(found["exception"]), str(found["message"]).split("\n")[0]
    except (ValueError, KeyError, TypeError):
        name, message = "", f"status {status}"
    # WebHDFS explains every refusal except a failed login: any other reply with an empty body was cut off.
    empty = not body.strip() and status not in {401, 403}
    transient = name in _TRANSIENT if name else status >= 500 or status in {408, 429} or empty
    if "InvalidToken" in message:
        message += " (the delegation token of this container has ended: docs/kerberos.md)"
    return OSError(message) if transient else HdfsFault(f"HDFS refused: {message}", name)
