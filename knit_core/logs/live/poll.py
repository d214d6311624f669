"""Polls a running application's logs without threads and in bounded memory.

A poll reads the containers that are due, one after another, while the caller takes lines. Lines that were read and not
taken are kept; until they are taken, no more is read of that log. So each log uses the memory of one piece at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from knit_core.errors import ConnectionFailed, KnitError, NotFound
from knit_core.logs.application import LoggedApplication
from knit_core.logs.lines import Block, LogCursor, LogLine
from knit_core.logs.live.follow_application import RunningUploads
from knit_core.logs.live.follow_container import ContainerReader
from knit_core.logs.live.gateway_logs import node_logs
from knit_core.logs.live.pace import Backoff, Pace
from knit_core.logs.live.routes import LogSource, unreachable
from knit_core.logs.reader import LogReader
from knit_core.logs.selection import Selection
from knit_core.model.result import Container

SOONEST, LATEST = 0.5, 10.0  # seconds between two polls of a container
_SOONEST_UNREACHABLE, _LATEST_UNREACHABLE = 2.0, 60.0  # seconds between two tries to reach a node
_FRESH = 1.0  # seconds for which the list of containers is not queried again
_PIECE = 1 << 16  # bytes of a log that are read at a time


@dataclass
class _Node:
    logs: LogSource
    backoff: Backoff = field(default_factory=lambda: Backoff(_LATEST_UNREACHABLE))


@dataclass
class _Target:
    """One container: its reader, the blocks that were not taken yet, and its schedule."""

    node: _Node
    blocks: deque[Block] = field(default_factory=deque)
    lines: Iterator[LogLine] | None = None
    pace: Pace = field(default_factory=lambda: Pace(SOONEST, LATEST))
    reader: ContainerReader = field(init=False)

    def keep(self, block: Block) -> bool:
        """Called by the reader with each block."""
        self.blocks.append(block)
        return True

    def take(self, cursor: LogCursor) -> Iterator[LogLine]:
        """The lines that were read and not taken yet."""
        while self.lines is not None or self.blocks:
            if self.lines is None:
                self.lines = self.blocks.popleft().lines(cursor)
            line = next(self.lines, None)
            if line is None:
                self.lines = None
            else:
                yield line  # the caller may call `leave`, which drops the other lines


class LogWatch:
    """Lines of one running application after a cursor. For one thread at a time.

    Args:
        application: the application.
        cursor: where to begin; moves with each line.

    Attributes:
        cursor: the position after the last returned line.
    """

    def __init__(self, application: LoggedApplication, cursor: LogCursor | None = None) -> None:
        self.cursor = LogCursor() if cursor is None else cursor
        self._application, self._selection, self._clock = application, Selection(), application.cluster.clock
        reader = LogReader(application, self._selection)
        self._scheme, self._routes = reader.scheme, reader.routes
        self._uploads = RunningUploads(reader.aggregated(None), self._clock)
        self._nodes: dict[str, _Node] = {}
        self._targets: dict[str, _Target] = {}
        self._rows_at = -_FRESH
        self._turn = 0

    def look(self, seconds: float = 5.0) -> Iterator[LogLine]:
        """New lines of the containers that are due, polled for at most `seconds`.

        Lines that are not taken are returned by the next call. Empty when no container is due.
        """
        until = self._clock.monotonic() + seconds
        self._refresh()
        targets = list(self._targets.values())
        self._turn = self._turn % len(targets) if targets else 0
        for target in targets[self._turn :] + targets[: self._turn]:
            self._turn += 1
            yield from target.take(self.cursor)
            self._read(target)
            yield from target.take(self.cursor)
            if self._clock.monotonic() > until:
                return

    def leave(self, yarn: str, stream: str) -> None:
        """Return no more lines of this log."""
        target = self._targets.get(yarn)
        if target is not None:
            target.reader.leave(stream)
            target.blocks = deque(block for block in target.blocks if block.stream != stream)
            target.lines = None  # of the same log: only one log's lines are taken at a time

    def close(self) -> None:
        """Close the connections."""
        for node in self._nodes.values():
            node.logs.close()

    def _refresh(self) -> None:
        if self._clock.monotonic() - self._rows_at < _FRESH:
            return
        try:
            rows = self._application.containers(retry_timeout=0)
        except KnitError:
            rows = []  # no ApplicationMaster at this time: known containers are still read
        self._rows_at = self._clock.monotonic()
        for row in rows:
            if row.yarn and row.node_http:
                self._update_target(row)

    def _update_target(self, row: Container) -> None:
        target = self._targets.get(row.yarn)
        if target is None:
            node = self._nodes.get(row.node_http)
            if node is None:
                logs = node_logs(self._application.cluster.nodes, row.node_http, self._scheme, clock=self._clock)
                node = self._nodes[row.node_http] = _Node(self._routes.to(row.node_http, logs))
            target = self._targets[row.yarn] = _Target(node)
            target.reader = ContainerReader(
                row,
                node.logs,
                self._uploads,
                self._selection.streams,
                lambda stream: self.cursor.at(row.yarn, stream),
                target.keep,
                turn=_PIECE,
                clock=self._clock,
            )
        elif row.state.ended and not target.reader.row.state.ended:
            target.pace.due = 0.0
        target.reader.row = row

    def _read(self, target: _Target) -> None:
        now, reader = self._clock.monotonic(), target.reader
        if reader.complete or reader.left or now < max(target.pace.due, target.node.backoff.not_before):
            return
        came = 0
        try:
            came = reader.poll()
        except NotFound:
            pass  # not started yet, or already moved to HDFS
        except ConnectionFailed as error:
            backoff = target.node.backoff
            backoff.failed(self._clock.monotonic(), _SOONEST_UNREACHABLE)
            if backoff.pause > _SOONEST_UNREACHABLE:  # not the first failure
                reader.remark(f"{unreachable(error)}; its lines come later")
            return
        except KnitError as error:
            reader.remark(f"its logs cannot be read now: {error}")
        target.node.backoff.answered()
        target.pace.polled(bool(came), self._clock.monotonic())


__all__ = ["LogWatch"]
