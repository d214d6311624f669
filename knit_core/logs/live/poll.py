"""Looks at a running application's logs again and again, for who has little time and room for them.

No threads and no waiting: a look reads what is due, container by container, as long as the taker takes. What was read
of a log and not taken is kept, and until it is taken nothing more of that log is read: so a flood costs its reader one
piece of memory, whatever its size.
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
from knit_core.logs.live.nodemanager import NodeLogs
from knit_core.logs.live.pace import Backoff, Pace
from knit_core.logs.reader import LogReader
from knit_core.logs.selection import Selection
from knit_core.model.result import Container

SOONEST, LATEST = 0.5, 10.0  # seconds between two looks at a container
_SOONEST_UNREACHABLE, _LATEST_UNREACHABLE = 2.0, 60.0  # seconds between two tries to reach a node
_FRESH = 1.0  # seconds for which it is known which containers there are
_PIECE = 1 << 16  # bytes of a log that are read at a time


@dataclass
class _Node:
    logs: NodeLogs
    backoff: Backoff = field(default_factory=lambda: Backoff(_LATEST_UNREACHABLE))


@dataclass
class _Target:
    """One container: its reader, what was read and not taken, and when it is due again."""

    node: _Node
    blocks: deque[Block] = field(default_factory=deque)
    lines: Iterator[LogLine] | None = None
    pace: Pace = field(default_factory=lambda: Pace(SOONEST, LATEST))
    reader: ContainerReader = field(init=False)

    def keep(self, block: Block) -> bool:
        """What the reader calls."""
        self.blocks.append(block)
        return True

    def take(self, cursor: LogCursor) -> Iterator[LogLine]:
        """What was read."""
        while self.lines is not None or self.blocks:
            if self.lines is None:
                self.lines = self.blocks.popleft().lines(cursor)
            line = next(self.lines, None)
            if line is None:
                self.lines = None
            else:
                yield line  # who takes it may leave the log, which drops the others


class LogWatch:
    """Lines of one running application, from a cursor on; for one thread at a time.

    Args:
        application: which.
        cursor: where to begin; moved as lines are handed out.

    Attributes:
        cursor: how far lines were handed out.
    """

    def __init__(self, application: LoggedApplication, cursor: LogCursor | None = None) -> None:
        self.cursor = LogCursor() if cursor is None else cursor
        self._application, self._selection, self._clock = application, Selection(), application.cluster.clock
        reader = LogReader(application, self._selection)
        self._scheme = reader.scheme
        self._uploads = RunningUploads(reader.aggregated(None), self._clock)
        self._nodes: dict[str, _Node] = {}
        self._targets: dict[str, _Target] = {}
        self._rows_at = -_FRESH
        self._turn = 0

    def look(self, seconds: float = 5.0) -> Iterator[LogLine]:
        """What is there now, of as many containers as are due and can be looked at in so many seconds.

        Whoever stops taking lines gets the next ones at the next look. Whoever looks for all has looked when nothing
        comes.
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
        """Hand out nothing more of this log."""
        target = self._targets.get(yarn)
        if target is not None:
            target.reader.leave(stream)
            target.blocks = deque(block for block in target.blocks if block.stream != stream)
            target.lines = None  # of this very log: lines are taken of one at a time

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
            rows = []  # before the first ApplicationMaster, or between two: those that are known are read meanwhile
        self._rows_at = self._clock.monotonic()
        for row in rows:
            if row.yarn and row.node_http:
                self._know(row)

    def _know(self, row: Container) -> None:
        target = self._targets.get(row.yarn)
        if target is None:
            node = self._nodes.get(row.node_http)
            if node is None:
                logs = NodeLogs(self._application.cluster.nodes, row.node_http, self._scheme)
                node = self._nodes[row.node_http] = _Node(logs)
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
            pass  # not started yet, or already on its way to HDFS
        except ConnectionFailed as error:
            backoff = target.node.backoff
            backoff.failed(self._clock.monotonic(), _SOONEST_UNREACHABLE)
            if backoff.pause > _SOONEST_UNREACHABLE:  # not for the first time
                reader.remark(f"its node cannot be reached ({error.address}); its lines come later")
            return
        except KnitError as error:
            reader.remark(f"its logs cannot be read now: {error}")
        target.node.backoff.answered()
        target.pace.polled(bool(came), self._clock.monotonic())


__all__ = ["LogWatch"]
