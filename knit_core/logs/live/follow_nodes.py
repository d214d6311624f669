"""Follows many containers in parallel: a bounded number of threads reads the nodes, one thread per node at a time.

Blocks go through a channel of bounded size, so memory is bounded even if the receiver is slow. A node that does not answer
blocks only one thread, and is retried at growing intervals.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from knit_core.errors import ConnectionFailed, KnitError, NotFound
from knit_core.hadoop.http import HttpService
from knit_core.logs.lines import Block, LogCursor
from knit_core.logs.live.follow_container import ContainerReader, Stopped, Uploads
from knit_core.logs.live.gateway_logs import node_logs
from knit_core.logs.live.pace import Backoff, Pace
from knit_core.logs.live.routes import LogSource, Routes, unreachable
from knit_core.logs.selection import Selection
from knit_core.model.clock import Clock, pause
from knit_core.model.result import Container

MOST_THREADS = 32
_MOST_HELD = 1 << 24  # bytes
SOONEST, LATEST = 0.2, 2.0  # seconds between two polls of a container
_BUSY = 1 << 20  # bytes; a poll that returned more is repeated at once
_LATEST_UNREACHABLE = 30.0  # seconds between two tries to reach a node
_JOIN_TIMEOUT = 0.5  # seconds to wait for the threads at the end
_GRACE = 2.0  # seconds without an answer of a node before a remark


class Channel:
    """A queue of blocks from the readers to the receiver, of bounded size."""

    def __init__(self, most: int = _MOST_HELD) -> None:
        self._most, self._held = most, 0
        self._blocks: deque[Block] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, block: Block) -> bool:
        """Wait until the queue has space, then add a block; False if the channel is closed and the block is dropped."""
        with self._changed:
            while self._held >= self._most and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._blocks.append(block)
            self._held += len(block.data)
            self._changed.notify_all()
            return True

    def get(self, timeout: float) -> Block | None:
        """The next block; None after `timeout` seconds, after `wake`, or when the channel is closed and empty."""
        with self._changed:
            if not self._blocks and not self._closed:
                self._changed.wait(timeout)
            if not self._blocks:
                return None
            block = self._blocks.popleft()
            self._held -= len(block.data)
            self._changed.notify_all()
            return block

    @property
    def closed(self) -> bool:
        """Whether no blocks are added any more. Remaining blocks can still be taken."""
        return self._closed

    def wake(self) -> None:
        """Let a waiting `get` return."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Accept no more blocks. Remaining blocks can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@dataclass
class _Target:
    """One container, and its schedule."""

    reader: ContainerReader
    pace: Pace = field(default_factory=lambda: Pace(SOONEST, LATEST))


@dataclass
class _Node:
    """One NodeManager and the containers on it."""

    logs: LogSource
    targets: dict[str, _Target] = field(default_factory=dict)
    busy: bool = False
    backoff: Backoff = field(default_factory=lambda: Backoff(_LATEST_UNREACHABLE))
    failing_since: float | None = None
    remarked: bool = False

    def due(self) -> float:
        """The time of the next poll."""
        return max(
            self.backoff.not_before, min((target.pace.due for target in self.targets.values()), default=float("inf"))
        )


class Follower:
    """Reads containers' logs from their nodes and puts them into `channel`.

    Args:
        http: client for requests to the nodes.
        scheme: URL scheme of the nodes' web servers.
        uploads: uploaded logs of running containers.
        selection: which logs.
        cursor: where to begin.
        once: poll each container only once.
        short: use a shorter time-out for nodes that do not answer; see `NodeLogs`.
        threads: maximum number.
        clock: the clock.
        routes: other ways to nodes that cannot be reached directly; None: there is none.
    """

    def __init__(
        self,
        http: HttpService,
        scheme: str,
        uploads: Uploads,
        selection: Selection,
        cursor: LogCursor,
        *,
        once: bool = False,
        short: bool = False,
        threads: int = MOST_THREADS,
        clock: Clock = time,
        routes: Routes | None = None,
    ) -> None:
        self.channel = Channel()
        self._http, self._scheme, self._uploads, self._selection = http, scheme, uploads, selection
        self._offsets, self._once, self._most_threads = dict(cursor.offsets), once, threads
        self._tail, self._short, self._clock, self._routes = selection.tail, short, clock, routes
        self._nodes: dict[str, _Node] = {}
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._waiting = 0  # threads without work
        self._closed = False
        self.failures: dict[str, KnitError] = {}  # by YARN's id: the error of the last poll, if it failed
        self.crash: Exception | None = None

    def update(self, rows: Iterable[Container]) -> bool:
        """Add or update containers; whether any is new or has ended."""
        new = False
        with self._changed:
            for row in rows:
                if row.yarn and row.node_http and self._selection.wants(row):
                    new = self._add(row) or new
            self._tail = None  # `tail` does not apply to containers that start later
            if not self._threads and self._nodes:
                self._start_thread()
            self._changed.notify_all()
        return new

    def _add(self, row: Container) -> bool:
        node = self._nodes.get(row.node_http)
        if node is None:
            logs: LogSource = node_logs(self._http, row.node_http, self._scheme, short=self._short, clock=self._clock)
            logs = self._routes.to(row.node_http, logs) if self._routes is not None else logs
            node = self._nodes[row.node_http] = _Node(logs)
        target = node.targets.get(row.yarn)
        if target is None:
            offsets, key = self._offsets, row.yarn
            reader = ContainerReader(
                row,
                node.logs,
                self._uploads,
                self._selection.streams,
                lambda stream: offsets.get(f"{key}/{stream}", 0),
                self.channel.put,
                self._tail,
                clock=self._clock,
            )
            node.targets[row.yarn] = _Target(reader)
            return True
        ended = row.state.ended and not target.reader.row.state.ended
        target.reader.row = row
        if ended:
            target.pace.due = self._clock.monotonic()
        return ended

    def close(self) -> None:
        """Stop reading. Blocks in the channel can still be taken. Does not wait for threads that wait for a node."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.channel.close()
        deadline = self._clock.monotonic() + _JOIN_TIMEOUT
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - self._clock.monotonic()))

    def unread(self) -> list[Container]:
        """Containers whose logs were not read completely."""
        with self._changed:
            targets = [target for node in self._nodes.values() for target in node.targets.values()]
        return [target.reader.row for target in targets if not (target.reader.complete and target.reader.streams)]

    def idle(self) -> bool:
        """Whether all containers were polled; for use with `once`."""
        with self._changed:
            return all(not node.busy and node.due() == float("inf") for node in self._nodes.values())

    # -- the threads -------------------------------------------------------

    def _work(self) -> None:
        while (node := self._next()) is not None:
            try:
                self._poll_node(node)
            except Stopped:
                pass
            except Exception as error:  # raised in the thread that takes the lines
                self.crash = error
                self.channel.close()
            finally:
                with self._changed:
                    node.busy = False
                    self._changed.notify_all()
                self.channel.wake()
        with self._changed:
            idle = [node for node in self._nodes.values() if not node.busy]
        for node in idle:
            node.logs.close()

    def _start_thread(self) -> None:
        """Start one more thread, up to the maximum. Only done when several nodes are due: fast nodes need one or two."""
        if len(self._threads) < self._most_threads and not self._closed:
            thread = threading.Thread(target=self._work, name=f"knit-logs-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _next(self) -> _Node | None:
        """Wait for a node that is due, and mark it as busy; the longest overdue first. None after `close`."""
        with self._changed:
            while not self._closed:
                now = self._clock.monotonic()
                free = [(node.due(), number) for number, node in enumerate(self._nodes.values()) if not node.busy]
                due, number = min(free, default=(float("inf"), 0))
                if due <= now:
                    node = list(self._nodes.values())[number]
                    node.busy = True
                    if not self._waiting and sum(other <= now for other, _ in free) > 1:
                        self._start_thread()
                    return node
                self._waiting += 1
                pause(self._changed, min(due - now, 3600.0), self._clock)
                self._waiting -= 1
            return None

    def _poll_node(self, node: _Node) -> None:
        """Poll all containers of a node that are due."""
        with self._changed:
            due = [target for target in node.targets.values() if target.pace.due <= self._clock.monotonic()]
        for target in due:
            begun = self._clock.monotonic()
            try:
                came = target.reader.poll()
            except NotFound as error:  # not started yet, or already moved to HDFS
                came = 0
                self.failures[target.reader.row.yarn] = error
            except ConnectionFailed as error:
                self._unreachable(node, error, begun)
                return
            except KnitError as error:
                came = 0
                self.failures[target.reader.row.yarn] = error
                target.reader.remark(f"its logs cannot be read now: {error}")
            else:
                self.failures.pop(target.reader.row.yarn, None)
            node.failing_since = None
            node.backoff.answered()
            self._schedule(target, came)
            if self._closed:
                return

    def _schedule(self, target: _Target, came: int) -> None:
        now = self._clock.monotonic()
        target.pace.polled(bool(came), now)
        if target.reader.complete or self._once:
            target.pace.due = float("inf")
        elif came >= _BUSY:
            target.pace.due = now

    def _unreachable(self, node: _Node, error: ConnectionFailed, begun: float) -> None:
        now = self._clock.monotonic()
        node.failing_since = node.failing_since or begun
        with self._changed:  # `update` may add containers to the node
            node.backoff.failed(now, max(SOONEST, now - begun))
            rows = [target.reader.row for target in node.targets.values() if not target.reader.complete]
            if self._once:
                for target in node.targets.values():
                    target.pace.due = float("inf")
        for row in rows:
            self.failures[row.yarn] = error
        if rows and not node.remarked and (self._once or now - node.failing_since >= _GRACE):
            node.remarked = True
            others = ", ".join(row.id for row in rows[1:6]) + (" …" if len(rows) > 6 else "")
            more = f" (the same for {others})" if others else ""
            text = f"{unreachable(error)}; its lines come after the end{more}"
            first = node.targets[rows[0].yarn].reader  # without the lock: the channel may be full
            first.remark(text)
