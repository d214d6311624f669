"""Logs of running containers, from the NodeManagers' web servers.

A NodeManager's API has no offset. `size=-N` returns the last N bytes, between a header with the file's current length and
a trailer; only that length tells where the trailer begins. So a read requests more than is missing, computes the offset of
the reply, and cuts it by length. Uploaded parts of the log (rolling aggregation) follow after the trailer, whatever N is;
if the file is empty or deleted, the reply has only these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple
from urllib.parse import quote

import requests

from knit_core.errors import ConnectionFailed, NotFound, ServiceUnavailable
from knit_core.hadoop.http import HttpService
from knit_core.logs.streams import PIECE
from knit_core.model.lenient_json import number, rows

_SLACK = 1 << 14  # bytes by which a file may grow between two requests without a third one
_HEADER_END = re.compile(rb"^LogContents:\r?\n", re.MULTILINE)
_LENGTH = re.compile(rb"^LogLength: *(\d+)\r?$", re.MULTILINE)
_UPLOADED = re.compile(rb"^LogAggregationType: *AGGREGATED\r?$", re.MULTILINE)
_LONGEST_HEADER = 1 << 14  # bytes
_TRAILER = 1 << 12  # bytes after the file that are read, so that the connection can be reused
_TIMEOUT = (3.0, 10.0)  # seconds, to connect and between two bytes
_SHORT_TIMEOUT = (3.0, 3.0)  # the same for a single poll


class NodeListing(NamedTuple):
    """A container's logs, as reported by its node.

    Attributes:
        sizes: bytes of each file on the node.
        uploaded: for each file, the sizes of its parts uploaded by rolling aggregation, oldest first.
    """

    sizes: Mapping[str, int]
    uploaded: Mapping[str, tuple[int, ...]]


class NodeLogs:
    """Reads logs of containers from one NodeManager. For one thread at a time.

    Args:
        http: client with authentication and errors.
        address: `host:port` of the NodeManager's web server.
        scheme: http or https.
        short: use a time-out of 3 s instead of 10 s.
    """

    def __init__(self, http: HttpService, address: str, scheme: str = "http", *, short: bool = False) -> None:
        self._http, self._base = http, f"{scheme}://{address}"
        self._timeout = _SHORT_TIMEOUT if short else _TIMEOUT
        self._session: requests.Session | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()

    def listing(self, container: str) -> NodeListing:
        """The container's current logs.

        Args:
            container: YARN's id.

        Raises:
            NotFound: the node does not have the container's logs, or has deleted them.
            ConnectionFailed: the node cannot be reached.
        """
        action = f"list the logs of {container}"
        with self._get(f"/ws/v1/node/containers/{container}/logs", action, "application/json") as response:
            reply = self._http.json_of(response, action)
        sizes: dict[str, int] = {}
        uploaded: dict[str, tuple[int, ...]] = {}
        for row in rows(reply, "containerLogsInfo"):
            for file in rows(row, "containerLogInfo"):
                name, size = str(file.get("fileName")), number(file.get("fileSize"))
                if row.get("logAggregationType") == "AGGREGATED":
                    uploaded[name] = (*uploaded.get(name, ()), size)
                else:
                    sizes[name] = size
        return NodeListing(sizes, uploaded)

    def read(self, container: str, stream: str, start: int, size: int) -> Iterator[bytes]:
        """Bytes of a file from `start` to its end, in pieces; the caller may close the iterator early.

        Args:
            container, stream: the log.
            start: offset of the first byte.
            size: the file's last known size; it may have grown.

        Raises:
            NotFound: the file does not exist any more.
            ConnectionFailed: the connection broke; the pieces before are valid.
        """
        wanted = size - start + _SLACK
        while True:
            with self._file(container, stream, f"-{wanted}") as response:
                length, pieces = self._content(response)
                begins = max(0, length - wanted)
                if begins <= start:
                    yield from self._between(pieces, start - begins, length - begins)
                    return
            wanted = length - start + _SLACK  # it grew by more than _SLACK

    def beginning(self, container: str, stream: str, count: int) -> Iterator[bytes]:
        """The first `count` bytes of a file, or all if it has fewer."""
        with self._file(container, stream, str(count)) as response:
            length, pieces = self._content(response)
            yield from self._between(pieces, 0, min(count, length))

    def _file(self, container: str, stream: str, size: str) -> requests.Response:
        path = f"/ws/v1/node/containers/{container}/logs/{quote(stream, safe='')}"
        return self._get(path, f"read {stream} of {container}", "text/plain", {"size": size})

    def _content(self, response: requests.Response) -> tuple[int, Iterator[bytes]]:
        """The file's length, and the bytes after the header; no bytes if the file is empty or deleted."""
        pieces = self._pieces(response)
        buffer = b""
        for piece in pieces:
            buffer += piece
            if end := _HEADER_END.search(buffer):
                header = buffer[: end.start()]
                length = _LENGTH.search(header)
                if length is None:
                    break
                if _UPLOADED.search(header):
                    return 0, iter(())
                return int(length[1]), chain([buffer[end.end() :]], pieces)
            if len(buffer) > _LONGEST_HEADER:
                break
        if not buffer or buffer.startswith(b"End of LogType:"):
            return 0, iter(())
        raise ServiceUnavailable(f"the NodeManager at {self._base} did not reply with a container log")

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_content(PIECE)
        except requests.RequestException as error:
            raise self._http.broken(error, self._base, "read a container's log") from None

    def _between(self, pieces: Iterator[bytes], skip: int, end: int) -> Iterator[bytes]:
        """The stream from `skip` to `end`. Then the trailer is read, so that the connection can be reused."""
        at = 0
        for piece in pieces:
            found = piece[max(0, skip - at) : end - at] if at < end else b""
            at += len(piece)
            if found:
                yield found
            if at > end + _TRAILER:
                return
        if at < end:  # the file became shorter, or the NodeManager shut down
            raise ConnectionFailed(f"the NodeManager at {self._base} sent less than it announced", address=self._base)

    def _get(self, path: str, action: str, accept: str, query: Mapping[str, str] | None = None) -> requests.Response:
        if self._session is None:
            self._session = self._http.new_session()
        try:
            response = self._session.get(
                self._base + path,
                params={**self._http.endpoint.auth.parameters(), **(query or {})},
                # No compression: it limits a NodeManager to 30 MB/s, instead of 800 MB/s on the loopback.
                headers={"Accept": accept, "Accept-Encoding": "identity"},
                timeout=self._timeout,
                stream=True,
                allow_redirects=False,  # the target would be a server with other logs
            )
            if response.status_code == 200:
                return response
            with response:
                refusal = self._http.error_of(response, action)
        except requests.RequestException as error:
            raise self._http.broken(error, self._base, action) from None
        # Hadoop's versions answer with 404, 503 or a redirect in this case; 3.5: 503 with "HTTP 404 Not Found".
        unknown = any(words in str(refusal) for words in ("NotFoundException", "HTTP 404 Not Found"))
        if unknown or response.status_code == 404 or response.is_redirect:
            raise NotFound(str(refusal), status=404, address=self._base, action=action)
        raise refusal


__all__ = ["NodeListing", "NodeLogs"]
