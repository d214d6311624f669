"""Logs of running containers through the application's ApplicationMaster, for nodes that this machine cannot reach.

The ApplicationMaster reads them from the NodeManagers. A reply has a limited part of a file, so a long file takes several calls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from knit_core.errors import ConnectionFailed, KnitError, NotFound, RequestRefused
from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.logs.live.nodemanager import NodeListing
from knit_core.logs.live.routes import LogSource, NoSuchRoute
from knit_core.model.clock import Clock

_T = TypeVar("_T")
_CALLS = 3  # at a time, of all nodes' readers together; the ApplicationMaster reads four logs at a time
_BUSY_PAUSE, _BUSY_TRIES = 0.5, 4  # seconds after it was busy, and calls until that is an error
_UNKNOWN_PATH = "unknown-path"  # the error of an ApplicationMaster without these calls
_NO_LOGS = {"no-logs", "unknown-container", "no-node"}  # not started, ended long ago, or deleted


class MasterRoute:
    """A `Route`: the ApplicationMaster of one application.

    Args:
        master: returns its API.
        clock: for pauses.
    """

    def __init__(self, master: Callable[[], ApplicationMasterClient], clock: Clock = time) -> None:
        self._master, self._clock = master, clock
        self._places = threading.BoundedSemaphore(_CALLS)
        self._exists = True

    def __call__(self, address: str) -> LogSource:
        """The logs of one node."""
        return _MasterLogs(self, address)

    def listing(self, container: str, address: str) -> NodeListing:
        """See `LogSource`."""
        return NodeListing(*self._call(address, lambda master: master.log_files(container)))

    def read(self, container: str, stream: str, start: int, size: int, address: str) -> tuple[bytes, int]:
        """A part of a file, and the file's length; see `ApplicationMasterClient.read_log`."""
        return self._call(address, lambda master: master.read_log(container, stream, start, size))

    def _call(self, address: str, call: Callable[[ApplicationMasterClient], _T]) -> _T:
        for _ in range(_BUSY_TRIES):
            if not self._exists:
                raise NoSuchRoute("the ApplicationMaster does not read logs", address=address)
            try:
                with self._places:
                    return call(self._master())
            except RequestRefused as error:
                code, message = _error(error)
                if code == _UNKNOWN_PATH:
                    self._exists = False
                    continue
                if code in _NO_LOGS:
                    raise NotFound(message, status=404, address=address) from None
                if error.status != 429:
                    raise _failed(message, address) from None
            except KnitError as error:
                raise _failed(str(error), address) from None
            self._clock.sleep(_BUSY_PAUSE)
        raise _failed("it reads as many logs as it can", address)


class _MasterLogs:
    """One node's logs; see `LogSource`."""

    def __init__(self, route: MasterRoute, address: str) -> None:
        self._route, self._address = route, address

    def close(self) -> None:
        """The client's connections are shared."""

    def listing(self, container: str) -> NodeListing:
        """See `LogSource`."""
        return self._route.listing(container, self._address)

    def read(self, container: str, stream: str, start: int, size: int) -> Iterator[bytes]:
        """See `LogSource`; the end is that of the first reply."""
        yield from self._between(container, stream, start, size)

    def beginning(self, container: str, stream: str, count: int) -> Iterator[bytes]:
        """See `LogSource`."""
        yield from self._between(container, stream, 0, count, count)

    def _between(self, container: str, stream: str, start: int, size: int, most: int | None = None) -> Iterator[bytes]:
        """The file from `start` to its length at the first reply, or to `most` if that is less."""
        end: int | None = None
        while end is None or start < end:
            data, length = self._route.read(container, stream, start, size, self._address)
            if end is None:
                end = length if most is None else min(length, most)
            if start < end and not data:
                raise _failed("the file became shorter while it was read", self._address)
            yield data[: max(0, end - start)]
            start, size = start + len(data), length


def _error(error: RequestRefused) -> tuple[str, str]:
    """The code and the message of the ApplicationMaster."""
    reply = error.reply if isinstance(error.reply, dict) else {}
    return str(reply.get("error", "")), str(reply.get("message", error))


def _failed(reason: str, address: str) -> ConnectionFailed:
    return ConnectionFailed(f"through the ApplicationMaster ({reason.rstrip('.')})", address=address)


__all__ = ["MasterRoute"]
