"""Follows the logs of one container on its node, across what rolling aggregation does to them.

A log is one run of bytes, whatever became of its file: what was uploaded and deleted from the node comes first (from
HDFS), the file that is on the node now after it. `base` is where that file begins in the log. Between two looks the
NodeManager may upload a file, delete it, and the program may make it anew, so where that is possible at all, what was
read counts only once a second look has shown that nothing was uploaded meanwhile; and each read begins with the bytes
that the one before ended with.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from knit_core.errors import KnitError, LogsUnavailable, MissingLog, NotFound
from knit_core.logs.aggregated.log_files import Found, Unfinished
from knit_core.logs.aggregated.rolled_parts import ANCHOR, Mark
from knit_core.logs.lines import REMARK, Block, blocks, remark, said
from knit_core.logs.live.nodemanager import NodeListing, NodeLogs
from knit_core.logs.streams import without
from knit_core.model.clock import Clock
from knit_core.model.result import Container

_TURN = 1 << 24  # bytes of a log that are read at a time; others on the node wait meanwhile
_TURN_UNSURE = 1 << 21  # the same while uploads may come: so much is held until it counts
_MISSED = 5.0  # seconds for which a file may be gone before anything is said
_NEWLINE = re.compile(b"\n")
_WINDOW = 1 << 16  # bytes from the end in which the last lines are looked for first


class Uploads(Protocol):
    """What was uploaded of running containers' logs; `possible` says whether such a thing may happen at all."""

    possible: bool

    def of_log(self, row: Container, stream: str, uploads: int, fresh: bool) -> Found | None:
        """One log as far as it was uploaded, as it is now or (not `fresh`) was a moment ago.

        Raises:
            Unfinished: there are fewer than `uploads`, which is what the node speaks of, or one is under way.
        """

    def last_part(self, row: Container, stream: str) -> Mark | None:
        """What the latest upload brought of it, of those that `of_log` has seen."""


class Stopped(Exception):
    """Nobody takes what is read any more."""


class _Replaced(Exception):
    """The file is not the one that was read before."""


@dataclass
class _Log:
    """Where one log stands.

    Attributes:
        name: the stream.
        position: bytes of the log that were passed on.
        base: bytes of it that came before the file that is on the node now.
        fetched: bytes of that file that were read, an unfinished line at its end included.
        anchor: what that file had just before its offset `anchored`, which was read or uploaded: a read begins there.
        uploaded: what the node said was uploaded, when `base` was found out.
        found: what was uploaded.
        begun: whether the first look is over.
        read: whether something of a file on the node was read.
        missing_since: since when the file has been gone, by the monotonic clock.
    """

    name: str
    position: int
    base: int = 0
    fetched: int = 0
    anchor: bytes = b""
    anchored: int = 0
    uploaded: tuple[int, ...] = ()
    found: Found | None = None
    begun: bool = False
    read: bool = False
    missing_since: float | None = None

    @property
    def split(self) -> int:
        """Up to here it is read from HDFS, from here on from the node."""
        return self.found.size if self.found is not None else 0

    @property
    def local(self) -> int:
        """Where reading the file on the node goes on."""
        return max(self.position, self.split) - self.base

    def keep(self, data: bytes) -> None:
        """`data` was passed on, and `position` stands behind it."""
        if self.position > self.split:
            end = self.position - self.base
            before = self.anchor if self.anchored == end - len(data) else b""
            self.anchor, self.anchored = (before + data)[-min(ANCHOR, end) :], end


class ContainerReader:
    """Passes on what is new in a container's logs.

    Args:
        row: the container; the attribute may be replaced when its state changes.
        node: its NodeManager.
        uploads: what was uploaded while it runs.
        streams: names of the logs that are wanted.
        start: by stream, how many bytes were handed out earlier.
        emit: takes a block; returns False when nobody wants more.
        tail: at the first look, only the last so many lines of each log.
        turn: so many bytes of each log at a look, or a little more; None: as many as serve throughput.
        clock: tells how long a file has been gone.

    Attributes:
        complete: whether all of an ended container was passed on.
    """

    def __init__(
        self,
        row: Container,
        node: NodeLogs,
        uploads: Uploads,
        streams: frozenset[str],
        start: Callable[[str], int],
        emit: Callable[[Block], bool],
        tail: int | None = None,
        turn: int | None = None,
        clock: Clock = time,
    ) -> None:
        self.row, self.complete = row, False
        self._turn, self._clock = turn, clock
        self._node, self._uploads, self._streams = node, uploads, streams
        self._start, self._take, self._tail = start, emit, tail
        self._logs: dict[str, _Log] = {}
        self._said = start(REMARK)

    @property
    def streams(self) -> frozenset[str]:
        """Names of the logs that were seen."""
        return frozenset(self._logs)

    def leave(self, stream: str) -> None:
        """Read this log no further."""
        self._streams -= {stream}
        self._logs.pop(stream, None)

    @property
    def left(self) -> bool:
        """Whether no log is wanted any more."""
        return not self._streams

    def poll(self) -> int:
        """Look once; the number of bytes passed on.

        Raises:
            Stopped: nobody takes them.
            NotFound: the node does not know the container, or not any more.
            KnitError: the node cannot be reached, or does not answer as it should.
        """
        ended = self.row.state.ended  # as it was before the look: then nothing follows what the look shows
        listing = self._node.listing(self.row.yarn)
        names = self._streams & {*listing.sizes, *listing.uploaded, *self._logs}
        came, complete = 0, ended
        for name in sorted(names, key=lambda name: (name != "stdout", name)):
            log = self._logs.get(name)
            if log is None:
                start = self._start(name)
                log = self._logs[name] = _Log(name, start, fetched=start)
            try:
                moved, whole = self._advance(log, listing, ended)
            except (Unfinished, _Replaced):
                moved, whole = 0, False  # the next look sees more
            came, complete = came + moved, complete and whole
        self.complete = complete
        return came

    def files(self) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        """Each log as it is now: name, size in bytes and content, to be read before the next one is asked for.

        Raises:
            KnitError: as `poll`; LogsUnavailable when a log was uploaded while it was read.
        """
        listing = self._node.listing(self.row.yarn)
        for name in sorted(self._streams & {*listing.sizes, *listing.uploaded}, reverse=True):
            log, size = _Log(name, 0), listing.sizes.get(name)
            uploaded = listing.uploaded.get(name, ())
            try:
                if uploaded:
                    self._settle(log, size, uploaded)
            except (Unfinished, NotFound):
                raise self._uploaded_meanwhile(log) from None
            whole = max(log.split, log.base + (size or 0))
            yield name, whole, self._whole(log, size or 0)

    def _whole(self, log: _Log, size: int) -> Iterator[bytes]:
        try:
            yield from limited(chain(self._uploaded(log), self._local(log, size)), max(log.split, log.base + size))
            sure = not self._uploads.possible or (
                self._node.listing(self.row.yarn).uploaded.get(log.name, ()) == log.uploaded
            )
        except NotFound:
            sure = False
        if not sure:
            raise self._uploaded_meanwhile(log)

    def _uploaded_meanwhile(self, log: _Log) -> LogsUnavailable:
        text = f"{log.name} of {self.row.id} ({self.row.yarn}) was uploaded to HDFS while it was read: read it again"
        missing = [MissingLog(self.row.id, self.row.yarn, self.row.host, "it was uploaded while it was read")]
        return LogsUnavailable(text, reason="incomplete", missing=missing)

    def remark(self, text: str) -> None:
        """Say something about the container, unless it was what was said last."""
        block = remark(self.row, text)
        if said(block.data) != self._said:
            self._said = said(block.data)
            self._emit(block)

    def _emit(self, block: Block) -> None:
        if not self._take(block):
            raise Stopped

    def _advance(self, log: _Log, listing: NodeListing, ended: bool) -> tuple[int, bool]:
        """(bytes passed on, whether that is all there is)."""
        size, uploaded = listing.sizes.get(log.name), listing.uploaded.get(log.name, ())
        before = log.position
        self._notice(log, size is None and log.found is not None and not ended)
        try:
            if uploaded != log.uploaded or (size or 0) < log.fetched:
                self._settle(log, size, uploaded)
            if not log.begun:
                self._begin(log, size or 0, ended)
            end = max(log.split, log.base + (size or 0))
            if log.position < log.split or (size or 0) > log.fetched:
                self._read(log, size or 0, False)
            if ended and log.position < end and log.fetched >= (size or 0):
                self._read(log, size or 0, True)
        except _Replaced:
            self._settle(log, size, uploaded, replaced=True)
            return 1, False  # look again soon
        except NotFound:  # deleted since the look
            return 1, False
        return max(0, log.position - before), log.position >= end

    def _settle(self, log: _Log, size: int | None, uploaded: tuple[int, ...], replaced: bool = False) -> None:
        """Find out where the file on the node begins in the log.

        Raises:
            Unfinished: what was uploaded cannot be seen on HDFS yet.
        """
        changed = uploaded != log.uploaded
        try:
            found = self._uploads.of_log(self.row, log.name, len(uploaded), fresh=replaced or not changed)
            last = self._uploads.last_part(self.row, log.name)
            if found is None or last is None:
                if size is not None:
                    self._begun_anew(log)
                return
            end = None if replaced or size is None or size < last.size else self._grown_from(log, last)
        except KnitError as error:
            if error.transient:
                raise Unfinished from None
            raise
        log.found, log.uploaded = found, uploaded
        base = found.size if end is None else found.size - last.size
        if base != log.base:
            if log.read and log.position > base:
                # It was read beyond what was uploaded of it before it was deleted: the log goes on where that ends.
                log.position = base
                self._emit(Block(self.row, log.name, base, b""))
            log.base, log.fetched, log.anchor, log.anchored = base, max(0, log.position - base), b"", 0
        if end is not None and log.anchored < last.size:
            log.anchor, log.anchored = end, last.size

    def _notice(self, log: _Log, missing: bool) -> None:
        """Say it when a file that was uploaded and deleted is not made anew: the program writes to nowhere."""
        if not missing:
            log.missing_since = None
            return
        now = self._clock.monotonic()
        log.missing_since = log.missing_since or now
        if now - log.missing_since > _MISSED:
            self.remark(
                f"YARN has moved its {log.name} to HDFS and deleted the file; what is written from now on can be read "
                "only if the program opens the file anew"
            )

    def _grown_from(self, log: _Log, part: Mark) -> bytes | None:
        """The last bytes of a part when the file on the node begins with all of it, else None."""
        same, seen, end = part.begins(self._node.beginning(self.row.yarn, log.name, part.size))
        return end if same and seen.size == part.size else None

    def _begun_anew(self, log: _Log) -> None:
        """The program itself has truncated the file: what was in it is nowhere any more."""
        self.remark(f"its {log.name} was truncated or replaced while it runs; what is in it now follows")
        log.position = log.base = log.fetched = log.anchored = 0
        log.anchor, log.found = b"", None
        self._emit(Block(self.row, log.name, 0, b""))

    def _begin(self, log: _Log, size: int, ended: bool) -> None:
        """Before the first read: skip all but the last lines, where only those are wanted."""
        log.begun = True
        first, end = log.position, max(log.split, log.base + size)
        if self._tail is None or end <= first:
            return
        window = _WINDOW
        while True:
            start = max(first, end - window)
            log.position = start
            lines: deque[int] = deque(maxlen=self._tail + 1)
            at = start
            for piece in chain(self._uploaded(log), self._local(log, size)):
                lines.extend(at + match.end() for match in _NEWLINE.finditer(piece))
                at += len(piece)
            unfinished = ended and at > (lines[-1] if lines else start)
            wanted = self._tail + (not unfinished)
            log.fetched = 0
            if len(lines) >= wanted or start == first:
                log.position = at if not wanted else lines[-wanted] if len(lines) >= wanted else first
                self._emit(Block(self.row, log.name, log.position, b""))
                return
            window *= 8

    def _read(self, log: _Log, size: int, final: bool) -> None:
        start = log.position
        turn = self._turn or (_TURN_UNSURE if self._uploads.possible else _TURN)
        for block in blocks(self.row, log.name, start, self._pieces(log, size), final):
            self._emit(block)
            log.position = block.start + len(block.data)
            log.keep(block.data)
            if log.position - start >= turn:
                return

    def _pieces(self, log: _Log, size: int) -> Iterator[bytes]:
        """The log from its position on: from HDFS, then from the node."""
        yield from self._uploaded(log)
        if not (self._uploads.possible or log.uploaded):
            yield from self._local(log, size)
            return
        held, length = [], 0
        for piece in self._local(log, size):
            held.append(piece)
            length += len(piece)
            if length >= _TURN_UNSURE:
                break
        if self._node.listing(self.row.yarn).uploaded.get(log.name, ()) != log.uploaded:
            raise Unfinished  # what was read may be of another file: the next look knows
        yield from held

    def _uploaded(self, log: _Log) -> Iterator[bytes]:
        if log.found is not None and log.position < log.split:
            yield from log.found.open(log.position)

    def _local(self, log: _Log, size: int) -> Iterator[bytes]:
        start, anchor = log.local, log.anchor
        if size <= start:
            return
        begin = log.anchored - len(anchor) if anchor else start
        pieces = self._node.read(self.row.yarn, log.name, begin, size)
        head = b""
        for piece in pieces:
            head += piece
            if len(head) >= len(anchor):
                break
        if head[: len(anchor)] != anchor:
            raise _Replaced
        log.fetched, log.read = start, True
        for piece in without(chain([head], pieces), start - begin):
            log.fetched += len(piece)
            yield piece


def limited(pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
    """The first `length` bytes of what comes."""
    for piece in pieces:
        yield piece[:length]
        length -= len(piece)
        if length <= 0:
            return
