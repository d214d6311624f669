"""Follows the logs of one container on its node, also with rolling aggregation.

A log is one sequence of bytes: first the bytes that were uploaded to HDFS and deleted from the node, then the current file
on the node. `base` is the offset of that file in the log. Between two polls the NodeManager may upload and delete a file,
and the program may create it again. So with rolling aggregation, bytes from the node are passed on only after a second
listing shows that nothing was uploaded in the meantime, and each read starts with the last bytes of the read before, as a
check.
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
from knit_core.logs.lines import REMARK, Block, blocks, remark, remark_digest
from knit_core.logs.live.nodemanager import NodeListing
from knit_core.logs.live.routes import LogSource
from knit_core.logs.streams import without
from knit_core.model.clock import Clock
from knit_core.model.result import Container

_TURN = 1 << 24  # bytes of a log per poll, so that other logs on the node are read, too
_TURN_UNSURE = 1 << 21  # the same with rolling aggregation: these bytes are buffered until the second listing
_MISSED = 5.0  # seconds for which a file may be missing without a remark
_NEWLINE = re.compile(b"\n")
_WINDOW = 1 << 16  # bytes from the end that are searched first for the last lines


class Uploads(Protocol):
    """Uploaded logs of running containers; `possible` is whether rolling aggregation is enabled."""

    possible: bool

    def of_log(self, row: Container, stream: str, uploads: int, fresh: bool) -> Found | None:
        """The uploaded part of one log; without `fresh` a recent listing is reused.

        Raises:
            Unfinished: there are fewer than `uploads`, the number that the node reports, or an upload is not finished.
        """

    def last_part(self, row: Container, stream: str) -> Mark | None:
        """The log's part in the latest upload that `of_log` has read."""


class Stopped(Exception):
    """The receiver takes no more blocks."""


class _Replaced(Exception):
    """The file was replaced since the last read."""


@dataclass
class _Log:
    """The state of one log.

    Attributes:
        name: the stream.
        position: bytes of the log that were passed on.
        base: offset in the log of the current file on the node.
        fetched: bytes of that file that were read, including an unfinished line at its end.
        anchor: known bytes of that file before its offset `anchored`; each read starts with them.
        uploaded: the sizes of the uploads that the node reported when `base` was determined.
        found: the uploaded part.
        begun: whether the first poll is done.
        read: whether bytes of a file on the node were read.
        missing_since: time since when the file is missing, by the monotonic clock.
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
        """The offset up to which the log is read from HDFS; from there on from the node."""
        return self.found.size if self.found is not None else 0

    @property
    def local(self) -> int:
        """The offset in the file on the node where the next read continues."""
        return max(self.position, self.split) - self.base

    def keep(self, data: bytes) -> None:
        """Update the anchor after `data` was passed on; `position` is at its end."""
        if self.position > self.split:
            end = self.position - self.base
            before = self.anchor if self.anchored == end - len(data) else b""
            self.anchor, self.anchored = (before + data)[-min(ANCHOR, end) :], end


class ContainerReader:
    """Passes on new bytes of a container's logs.

    Args:
        row: the container; the attribute may be replaced when its state changes.
        node: a way to its node's logs.
        uploads: logs that were uploaded while it runs.
        streams: names of the selected logs.
        start: returns the offset of a stream at which to begin.
        emit: takes a block; returns False when no more blocks are taken.
        tail: at the first poll, only the last `tail` lines of each log.
        turn: approximate limit of bytes per log and poll; None for the default.
        clock: the clock.

    Attributes:
        complete: whether the container has ended and all its logs were passed on.
    """

    def __init__(
        self,
        row: Container,
        node: LogSource,
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
        self._last_remark = start(REMARK)

    @property
    def streams(self) -> frozenset[str]:
        """Names of the logs that were found."""
        return frozenset(self._logs)

    def leave(self, stream: str) -> None:
        """Stop reading this log."""
        self._streams -= {stream}
        self._logs.pop(stream, None)

    @property
    def left(self) -> bool:
        """Whether no log is left to read."""
        return not self._streams

    def poll(self) -> int:
        """Poll once; returns the number of bytes that were passed on.

        Raises:
            Stopped: the receiver takes no more blocks.
            NotFound: the node does not have the container's logs, or has deleted them.
            KnitError: the node cannot be reached, or its reply is an error.
        """
        ended = self.row.state.ended  # read before the listing: if ended, the listing is final
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
                moved, whole = 0, False  # the next poll continues
            came, complete = came + moved, complete and whole
        self.complete = complete
        return came

    def files(self) -> Iterator[tuple[str, int, Iterator[bytes]]]:
        """Each log: name, size in bytes and content. Read the content before taking the next log.

        Raises:
            KnitError: as `poll`; LogsUnavailable when a log was uploaded while it was read.
        """
        listing = self._node.listing(self.row.yarn)
        for name in sorted(self._streams & {*listing.sizes, *listing.uploaded}, reverse=True):
            log, size = _Log(name, 0), listing.sizes.get(name)
            uploaded = listing.uploaded.get(name, ())
            try:
                if uploaded:
                    self._find_base(log, size, uploaded)
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
        """Pass on a remark on the container, unless it equals the last one."""
        block = remark(self.row, text)
        digest = remark_digest(block.data)
        if digest != self._last_remark:
            self._last_remark = digest
            self._emit(block)

    def _emit(self, block: Block) -> None:
        if not self._take(block):
            raise Stopped

    def _advance(self, log: _Log, listing: NodeListing, ended: bool) -> tuple[int, bool]:
        """Pass on new bytes of a log; returns their number, and whether all of the log was passed on."""
        size, uploaded = listing.sizes.get(log.name), listing.uploaded.get(log.name, ())
        before = log.position
        self._check_deleted(log, size is None and log.found is not None and not ended)
        try:
            if uploaded != log.uploaded or (size or 0) < log.fetched:
                self._find_base(log, size, uploaded)
            if not log.begun:
                self._begin(log, size or 0, ended)
            end = max(log.split, log.base + (size or 0))
            if log.position < log.split or (size or 0) > log.fetched:
                self._read(log, size or 0, False)
            if ended and log.position < end and log.fetched >= (size or 0):
                self._read(log, size or 0, True)
        except _Replaced:
            self._find_base(log, size, uploaded, replaced=True)
            return 1, False  # poll again soon
        except NotFound:  # deleted after the listing
            return 1, False
        return max(0, log.position - before), log.position >= end

    def _find_base(self, log: _Log, size: int | None, uploaded: tuple[int, ...], replaced: bool = False) -> None:
        """Determine the offset in the log of the file on the node.

        Raises:
            Unfinished: the upload is not visible on HDFS yet.
        """
        changed = uploaded != log.uploaded
        try:
            found = self._uploads.of_log(self.row, log.name, len(uploaded), fresh=replaced or not changed)
            last = self._uploads.last_part(self.row, log.name)
            if found is None or last is None:
                if size is not None:
                    self._truncated(log)
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
                # More was read than was uploaded before the deletion: continue after the uploaded part.
                log.position = base
                self._emit(Block(self.row, log.name, base, b""))
            log.base, log.fetched, log.anchor, log.anchored = base, max(0, log.position - base), b"", 0
        if end is not None and log.anchored < last.size:
            log.anchor, log.anchored = end, last.size

    def _check_deleted(self, log: _Log, missing: bool) -> None:
        """Add a remark when the program does not create a file again that was uploaded and deleted: its output is lost."""
        if not missing:
            log.missing_since = None
            return
        now = self._clock.monotonic()
        log.missing_since = log.missing_since or now
        if now - log.missing_since > _MISSED:
            self.remark(
                f"YARN has moved its {log.name} to HDFS and deleted the file; later output can be read only if the "
                "program opens the file again"
            )

    def _grown_from(self, log: _Log, part: Mark) -> bytes | None:
        """The last bytes of a part if the file on the node begins with all of it, else None."""
        same, seen, end = part.begins(self._node.beginning(self.row.yarn, log.name, part.size))
        return end if same and seen.size == part.size else None

    def _truncated(self, log: _Log) -> None:
        """Restart the log: the program has truncated the file, and its old content is lost."""
        self.remark(f"its {log.name} was truncated or replaced while it runs; its current content follows")
        log.position = log.base = log.fetched = log.anchored = 0
        log.anchor, log.found = b"", None
        self._emit(Block(self.row, log.name, 0, b""))

    def _begin(self, log: _Log, size: int, ended: bool) -> None:
        """Before the first read: skip to the last lines if only those are selected."""
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
        """The log after its position: from HDFS, then from the node."""
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
            raise Unfinished  # the bytes may be of another file: the next poll reads again
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
    """The first `length` bytes of a stream."""
    for piece in pieces:
        yield piece[:length]
        length -= len(piece)
        if length <= 0:
            return
