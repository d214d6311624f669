"""Log lines, the cursor of a reader, and the division of bytes into lines. Pure."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from knit_core.model.representation import one_line, shown
from knit_core.model.result import Container

LONGEST = 1 << 18  # bytes; a longer line is returned in pieces
REMARK = "knit"  # the stream of the reader's own remarks


class LogLine(NamedTuple):
    """One line of one container.

    Attributes:
        container: Knit's name (`main_0`), or `master`; YARN's id if the name is not known.
        instance: rank; None for the ApplicationMaster's.
        node: host name.
        stream: "stdout", "stderr", or "knit" for a remark of the reader itself.
        text: without the newline; bytes that are not UTF-8 are replaced.
        attempt: of the instance, from 1; 2 is the container that replaced the first one.
        yarn: YARN's id of the container.
        ended: whether a newline ends it. False for a piece of a line of more than 256 KiB, for the current state of a
            progress bar (its text has carriage returns), and for the last line of a stream without a newline at its end.
            The texts up to the next line with `ended` are parts of one line.
    """

    container: str
    instance: int | None
    node: str
    stream: str
    text: str
    attempt: int = 1
    yarn: str = ""
    ended: bool = True

    @property
    def label(self) -> str:
        """The prefix of the line: rank (or name, with several services), attempt if not the first, and node."""
        return label(self.container, self.attempt, self.node)

    @property
    def shown(self) -> str:
        """The text as a terminal shows it: only what follows the last carriage return (progress bars)."""
        return drawn(self.text)

    def __str__(self) -> str:
        return f"{self.label} | {drawn(self.text)}"

    def __repr__(self) -> str:
        return one_line("LogLine", [(name, getattr(self, name)) for name in ("container", "stream", "text")])


def drawn(text: str) -> str:
    """The part of a line after its last carriage return; carriage returns at the end do not count."""
    return text.rstrip("\r").rpartition("\r")[2] if "\r" in text else text


def label(container: str, attempt: int, node: str) -> str:
    """See `LogLine.label`."""
    short = container.removeprefix("main_") + (f"#{attempt}" if attempt > 1 else "")
    return f"{short} {node.split('.')[0] if not node[:1].isdigit() else node}".strip()


@shown
@dataclass
class LogCursor:
    """The number of bytes of each stream that were returned, so that another process can continue.

    Attributes:
        offsets: by `<YARN container id>/<stream>`; `…/knit` identifies the last remark on the container.
    """

    offsets: dict[str, int] = field(default_factory=dict)

    def dump(self) -> dict[str, int]:
        """Plain data for JSON."""
        return dict(self.offsets)

    @classmethod
    def load(cls, data: Mapping[str, Any] | None) -> LogCursor:
        """From `dump`."""
        return cls({str(key): int(value) for key, value in (data or {}).items()})

    def at(self, yarn: str, stream: str) -> int:
        """Bytes of this stream that were returned."""
        return self.offsets.get(f"{yarn}/{stream}", 0)

    def move(self, yarn: str, stream: str, offset: int) -> None:
        """Record that the stream was returned up to `offset`."""
        self.offsets[f"{yarn}/{stream}"] = offset


class Block(NamedTuple):
    """Whole lines of one stream, passed from a reader to its caller.

    Attributes:
        row: the container.
        stream: name of the stream.
        start: offset in the stream.
        data: lines with their newlines. Without a newline at the end: a piece of a very long line, or the stream's last
            line. Empty: only moves the cursor.
    """

    row: Container
    stream: str
    start: int
    data: bytes

    def __repr__(self) -> str:
        return one_line(
            "Block", [("row", self.row), ("stream", self.stream), ("start", self.start), ("data", self.data)]
        )

    def lines(self, cursor: LogCursor) -> Iterator[LogLine]:
        """The lines. The cursor moves past each line before it is returned."""
        row, stream, offsets, at = self.row, self.stream, cursor.offsets, self.start
        instance, host, key = (row.instance if row.service else None), row.host, f"{row.yarn}/{stream}"
        if stream == REMARK:
            offsets[key] = remark_digest(self.data)
            yield LogLine(row.id, instance, host, stream, self.data.decode(), row.attempt, row.yarn)
            return
        name, attempt, yarn, new = (
            row.id,
            row.attempt,
            row.yarn,
            tuple.__new__,
        )  # takes a third of the time of LogLine(…)
        offsets[key] = at
        *whole, rest = self.data.split(b"\n")
        for raw in whole:
            if len(raw) < LONGEST:
                at += len(raw) + 1
                offsets[key] = at
                text = (raw[:-1] if raw.endswith(b"\r") else raw).decode("utf-8", "replace")
                yield new(LogLine, (name, instance, host, stream, text, attempt, yarn, True))
                continue
            for text, taken, ended in cut(raw + b"\n", True):
                at += taken
                offsets[key] = at
                yield LogLine(name, instance, host, stream, text, attempt, yarn, ended)
        for text, taken, ended in cut(rest, True):
            at += taken
            offsets[key] = at
            yield LogLine(name, instance, host, stream, text, attempt, yarn, ended)


def remark(row: Container, text: str) -> Block:
    """A remark of the reader on a container."""
    return Block(row, REMARK, 0, f"[knit: {text}]".encode())


def remark_digest(text: bytes) -> int:
    """The digest of a remark, which a cursor keeps so that the remark is not repeated."""
    return zlib.crc32(text)


def cut(data: bytes, final: bool) -> Iterator[tuple[str, int, bool]]:
    """Lines in `data`, each with the number of bytes it took and whether a newline ended it.

    An unfinished last line is not returned, unless `final` is set (nothing follows) or it is too long to buffer.
    """
    start, size = 0, len(data)
    while start < size:
        end = data.find(b"\n", start, start + LONGEST)
        if end >= 0:
            stop = end - 1 if end > start and data[end - 1] == 13 else end  # Windows' line ends
            yield data[start:stop].decode("utf-8", "replace"), end + 1 - start, True
            start = end + 1
            continue
        length = size - start
        if length < LONGEST and not final:
            return
        if length > LONGEST or not final:
            length = whole_characters(data, start, min(length, LONGEST))
        yield data[start : start + length].decode("utf-8", "replace"), length, False
        start += length


def whole_characters(data: bytes, start: int, length: int) -> int:
    """`length`, or up to 3 less, so that the piece from `start` does not end within a character of UTF-8."""
    for back in range(1, min(4, length)):
        byte = data[start + length - back]
        if byte < 0x80:  # ASCII
            break
        if byte >= 0xC0:  # first byte of a character, with its length in bytes
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return length if wanted <= back else length - back
    return length


def blocks(row: Container, stream: str, start: int, pieces: Iterable[bytes], final: bool) -> Iterator[Block]:
    """Blocks of whole lines from bytes in pieces.

    Args:
        row, stream: of the bytes.
        start: offset in the stream.
        pieces: the bytes.
        final: whether an unfinished last line is returned, too. An unfinished line with carriage returns is a progress
            bar: its current state is always returned.
    """
    held = b""
    for piece in pieces:
        held += piece
        end = held.rfind(b"\n") + 1
        if not end and len(held) > LONGEST:
            end = whole_characters(held, 0, len(held) - len(held) % LONGEST)
        if end:
            yield Block(row, stream, start, held[:end])
            start, held = start + end, held[end:]
    if not final:
        held = _progress_bar(held)
    if held:
        yield Block(row, stream, start, held)


def _progress_bar(held: bytes) -> bytes:
    """The part of an unfinished line that is returned: empty, unless carriage returns mark it as a progress bar.

    A carriage return at the end is not returned: it may be the first half of a Windows line end.
    """
    whole = held[:-1] if held.endswith(b"\r") else held
    return whole[: whole_characters(whole, 0, len(whole))] if b"\r" in whole else b""


def last_lines(found: Iterable[Block], count: int) -> Iterator[Block]:
    """The last `count` lines of one stream's blocks; only these are buffered. A last line without a newline counts."""
    held: deque[tuple[Block, int]] = deque()
    lines = 0
    for block in found:
        number = block.data.count(b"\n")
        held.append((block, number))
        lines += number
        while len(held) > 1 and lines - held[0][1] > count:  # one more than needed, since a newline ends each
            lines -= held.popleft()[1]
    if not held:
        return
    spare = lines + (not held[-1][0].data.endswith(b"\n")) - count
    for block, number in held:
        if spare <= 0:
            yield block
        elif spare <= number:
            at = -1
            for _ in range(spare):
                at = block.data.find(b"\n", at + 1)
            if at + 1 < len(block.data):
                yield block._replace(start=block.start + at + 1, data=block.data[at + 1 :])
        spare -= number
