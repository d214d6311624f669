"""HTTP responses whose headers were cut off are errors.

Python's HTTP client accepts the end of the connection as the end of the headers. A response that is cut there lacks fields, also
its length, and its missing body counts as an empty one.
"""

from __future__ import annotations

import http.client
from typing import Any


class CompleteHeaders(http.client.HTTPResponse):
    """A response that is valid only if its headers end with an empty line (RFC 9112, section 2.1).

    A `response_class` for connections of http.client and urllib3. Reading them raises http.client.RemoteDisconnected,
    an OSError, when the connection broke before that line.
    """

    fp: Any

    def begin(self) -> None:
        """Read the headers."""
        if getattr(self, "headers", None) is not None:  # already read
            return
        lines = self.fp = _Lines(self.fp)
        super().begin()
        if self.fp is lines:
            self.fp = lines.stream
        if lines.last not in (b"\r\n", b"\n"):
            self.close()
            raise http.client.RemoteDisconnected("the connection broke within the headers of the reply")


class _Lines:
    """A stream that keeps the last line that was read."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.last = stream, b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self.stream.readline(limit)
        return self.last

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
