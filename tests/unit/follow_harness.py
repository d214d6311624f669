"""A follower on NodeManagers of this process, what was uploaded of them, and the lines that came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from knit_core.logs.aggregated.log_files import Found, Unfinished
from knit_core.logs.aggregated.rolled_parts import Mark
from knit_core.logs.lines import LogCursor, LogLine
from knit_core.logs.live.follow_application import drained
from knit_core.logs.live.follow_nodes import Follower
from knit_core.logs.live.routes import Routes
from knit_core.logs.selection import Selection
from knit_core.model.result import Container
from tests.unit.node_harness import Node, http_service


class Uploads:
    """What was uploaded, by container and stream; `lag`: so many looks see nothing of it yet."""

    def __init__(self, possible: bool = False) -> None:
        self.possible, self.lag = possible, 0
        self.nodes: list[Node] = []

    def _parts(self, row: Container, stream: str) -> list[bytes]:
        parts: list[bytes] = []
        for node in self.nodes:
            for part in node.uploaded.get(row.yarn, {}).get(stream, []):
                if parts and part.startswith(parts[-1]):
                    parts.pop()
                parts.append(part)
        return parts

    def of_log(self, row: Container, stream: str, uploads: int, fresh: bool) -> Found | None:
        if self.lag > 0:
            self.lag -= 1
            raise Unfinished
        parts = self._parts(row, stream)
        whole = b"".join(parts)
        return Found(row.yarn, stream, "", len(whole), lambda at: iter([whole[at:]])) if parts else None

    def last_part(self, row: Container, stream: str) -> Mark | None:
        parts = self._parts(row, stream)
        return Mark.of([parts[-1]]) if parts else None


class Bed:
    """Nodes, a follower and what came of it."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.uploads = Uploads()
        self.routes: Routes | None = None
        self.cursor = LogCursor()
        self.lines: list[LogLine] = []
        self._followers: list[Follower] = []
        self._thread: threading.Thread | None = None

    def node(self) -> Node:
        self.nodes.append(Node())
        self.uploads.nodes = self.nodes
        return self.nodes[-1]

    def follower(
        self, selection: Selection | None = None, once: bool = False, threads: int = 8, short: bool = False
    ) -> Follower:
        chosen = selection or Selection.of()
        made = Follower(
            http_service(),
            "http",
            self.uploads,
            chosen,
            self.cursor,
            once=once,
            short=short,
            threads=threads,
            routes=self.routes,
        )
        self._followers.append(made)
        return made

    def follow(self, *rows: Container, selection: Selection | None = None, threads: int = 8) -> Follower:
        """Follow rows; lines are taken in a thread."""
        made = self.follower(selection, threads=threads)
        made.update(rows)

        def take() -> None:
            while (block := made.channel.get(10.0)) is not None or not made.channel.closed:
                self.lines += block.lines(self.cursor) if block else ()

        self._thread = threading.Thread(target=take)
        self._thread.start()
        return made

    def look(self, *rows: Container, selection: Selection | None = None, short: bool = False) -> list[LogLine]:
        """One look at rows."""
        made = self.follower(selection, once=True, short=short)
        made.update(rows)
        found = [line for block in drained(made) for line in block.lines(self.cursor)]
        made.close()
        return found

    def stop(self) -> None:
        for made in self._followers:
            made.close()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def texts(self, stream: str = "stdout", container: str | None = None) -> list[str]:
        return [line.text for line in self.lines if line.stream == stream and container in {None, line.container}]

    def until(self, condition: Callable[[], object], timeout: float = 20.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"too late; lines: {self.lines[-5:]}"
            time.sleep(0.01)
