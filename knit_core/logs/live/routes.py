"""Ways to the log files of a node's containers: directly from its NodeManager, and others where that cannot be reached.

A way is a `LogSource`; all ways return the same bytes for the same offsets, so a reader can change from one to another at any
time. A further kind of way needs a function that returns its source for a node (`Route`), and a place in `LogReader.routes`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Protocol

from knit_core.errors import ConnectionFailed, KnitError
from knit_core.logs.live.nodemanager import NodeListing
from knit_core.model.clock import Clock

_REMEMBERED = 300.0  # seconds for which new readers do not first try a node that could be reached in another way only


class LogSource(Protocol):
    """A way to read the log files of a node's containers. For one thread at a time."""

    def listing(self, container: str) -> NodeListing:
        """The container's current logs; each poll begins with it.

        Args:
            container: YARN's id.

        Raises:
            NotFound: the node does not have the container's logs, or has deleted them.
            ConnectionFailed: this way does not lead to the node now. The message is for users; see `unreachable`.
            NoSuchRoute: it never will.
        """

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

    def beginning(self, container: str, stream: str, count: int) -> Iterator[bytes]:
        """The first `count` bytes of a file, or all if it has fewer."""

    def close(self) -> None:
        """Close the connections."""


Route = Callable[[str], LogSource]  # the source for a node, by the address of its web server: `host:port`


class NoSuchRoute(ConnectionFailed):
    """This cluster or application does not have this way. Users are not told of it."""


class NodeUnreachable(ConnectionFailed):
    """No way leads to a node.

    Attributes:
        others: why each of the ways besides the direct one did not; empty when there is none.
    """

    def __init__(self, direct: ConnectionFailed, others: Sequence[str]) -> None:
        self.others = tuple(others)
        text = "; nor could its logs be read ".join((str(direct), *others))
        super().__init__(text, address=direct.address, action=direct.action, before_sending=direct.before_sending)


def unreachable(error: ConnectionFailed) -> str:
    """The beginning of a remark on a node that cannot be reached."""
    others = error.others if isinstance(error, NodeUnreachable) else ()
    nor = f", nor can its logs be read {', nor '.join(others)}" if others else ""
    return f"its node cannot be reached ({error.address}){nor}"


class Routes:
    """The ways to the nodes of one application.

    Args:
        others: ways besides the direct one, in the order in which they are tried.
        away: by the address of a node's web server, the time at which only another way led to it. Readers may share it.
        clock: the clock.
    """

    def __init__(self, others: Sequence[Route], away: MutableMapping[str, float], clock: Clock = time) -> None:
        self._others, self._away, self._clock = others, away, clock

    def to(self, address: str, direct: LogSource) -> LogSource:
        """The logs of one node, by whatever way leads to it.

        Args:
            address: `host:port` of its web server.
            direct: the direct way.
        """
        return _RoutedLogs(address, direct, self._others, self._away, self._clock)


class _RoutedLogs:
    """One node's logs. The way that has answered last is used until it fails."""

    def __init__(
        self, address: str, direct: LogSource, others: Sequence[Route], away: MutableMapping[str, float], clock: Clock
    ) -> None:
        self._address, self._routes, self._away, self._clock = address, others, away, clock
        self._direct, self._sources = direct, {0: direct}
        self._chosen: int | None = None

    def close(self) -> None:
        """Close the connections of all ways."""
        for source in self._sources.values():
            source.close()

    def listing(self, container: str) -> NodeListing:
        """See `LogSource`. Chooses the way.

        Raises:
            NodeUnreachable: no way leads to the node.
        """
        direct: ConnectionFailed | None = None
        others: list[str] = []
        for number in self._order():
            try:
                listing = self._source(number).listing(container)
            except NoSuchRoute:
                continue
            except ConnectionFailed as error:
                if number == 0:
                    direct = error
                else:
                    others.append(str(error))
                continue
            except KnitError:  # it has answered
                self._choose(number, direct)
                raise
            self._choose(number, direct)
            return listing
        assert direct is not None  # it is always tried, and never `NoSuchRoute`
        raise NodeUnreachable(direct, others) if others else direct

    def read(self, container: str, stream: str, start: int, size: int) -> Iterator[bytes]:
        """See `LogSource`."""
        return self._source(self._chosen or 0).read(container, stream, start, size)

    def beginning(self, container: str, stream: str, count: int) -> Iterator[bytes]:
        """See `LogSource`."""
        return self._source(self._chosen or 0).beginning(container, stream, count)

    def _source(self, number: int) -> LogSource:
        if number not in self._sources:
            self._sources[number] = self._routes[number - 1](self._address)
        return self._sources[number]

    def _order(self) -> list[int]:
        ways = list(range(len(self._routes) + 1))
        if self._chosen is not None:
            return sorted(ways, key=lambda number: number != self._chosen)
        seen = self._away.get(self._address)
        if seen is not None and self._clock.monotonic() - seen < _REMEMBERED:
            return [*ways[1:], 0]
        return ways

    def _choose(self, number: int, direct: ConnectionFailed | None) -> None:
        self._chosen = number
        if number == 0:
            self._away.pop(self._address, None)
        elif direct is not None:
            self._away[self._address] = self._clock.monotonic()


__all__ = ["LogSource", "NoSuchRoute", "NodeUnreachable", "Route", "Routes", "unreachable"]
