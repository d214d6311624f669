"""Reads Hadoop's indexed format of aggregated logs ("IFile"). Pure.

Layout as LogAggregationIndexedFileController writes it: a mark (the SHA-256 of the application's id; a UUID as text
before Hadoop 3.0), the logs one after the other, each compressed by itself, then an index, its length (4 bytes) and the
mark again. Rolling aggregation appends more logs and a new index that holds the old one's entries too; while it does, a
file `<node>-checksum` says up to where the file was good before. The index is a serialised Java object.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from knit_core.logs.aggregated.java_objects import JavaObject, parse
from knit_core.logs.streams import Fetch, damage, unpacked

TAIL = 40  # bytes: the index's length and the longer mark
CHECKSUM = "-checksum"
_INDEX = 1 << 25  # bytes of an index that are read at most: 400,000 logs
_SMALLEST_ENTRY = 40  # bytes of one log's entry in the index, at least
_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Entry:
    """One log in a file.

    Attributes:
        container: YARN's id; name: of the log (`stdout`).
        start, packed: where its bytes lie, and how many they are there.
        size: how many it had on its node.
        cycle: number of the upload that brought it, from 0.
    """

    container: str
    name: str
    start: int
    packed: int
    size: int
    cycle: int


@dataclass(frozen=True)
class Index:
    """What is in a file: `algorithm` is Hadoop's name of the compression; entries as they lie there."""

    algorithm: str
    entries: tuple[Entry, ...]


def mark_length(app_id: str, tail: bytes) -> int:
    """Length of the mark that a file's last bytes (TAIL or more) end with; 0: they end with none.

    A file without one is no IFile, or one that is being written.
    """
    if tail[-32:] == hashlib.sha256(app_id.encode()).digest():
        return 32
    return 36 if _UUID.fullmatch(tail[-36:]) else 0


def read_index(app_id: str, size: int, fetch: Fetch) -> Index:
    """The index of a file, or of its first `size` bytes.

    Args:
        app_id: the application's id.
        size: bytes of it that count.
        fetch: reads a part of it.

    Raises:
        LogsUnavailable: the file does not end like one, or its index is damaged.
    """
    with damage():
        if size < TAIL:
            raise ValueError(f"it has only {size} bytes: it was not finished")
        tail = b"".join(fetch(size - TAIL, TAIL))
        mark = mark_length(app_id, tail)
        if not mark:
            raise ValueError("it does not end with an index: it was not finished")
        (length,) = struct.unpack(">I", tail[-mark - 4 : -mark])
        begin = size - mark - 4 - length
        if length > _INDEX or begin < mark:
            raise ValueError(f"its index would have {length} bytes")
        return _index(parse(b"".join(fetch(begin, length))), mark, begin, length)


def _index(found: Any, mark: int, end: int, length: int) -> Index:
    entries: list[Entry] = []
    for cycle, upload in enumerate(_elements(_field(found, "logMetas"))):
        logs = _elements(_field(upload, "logMetas"))
        for container, metas in zip(logs[::2], logs[1::2], strict=True):
            for meta in _elements(metas):
                start, packed, size = (_number(meta, name) for name in ("startIndex", "fileCompressedSize", "fileSize"))
                entries.append(Entry(_text(container), _text(_field(meta, "fileName")), start, packed, size, cycle))
                if len(entries) > length // _SMALLEST_ENTRY:
                    raise ValueError("its index names the same logs again and again")
    entries.sort(key=lambda entry: (entry.cycle, entry.start))
    before = mark
    for entry in entries:
        # One that could not be opened on its node has neither place nor bytes. Logs that overlap would let a small
        # file hand out any number of bytes.
        if entry.packed and not before <= entry.start <= entry.start + entry.packed <= end:
            raise ValueError("its index points outside, or to logs that overlap")
        before = max(before, entry.start + entry.packed)
    return Index(_text(_field(found, "compressName")), tuple(entries))


def _field(found: Any, name: str) -> Any:
    if not isinstance(found, JavaObject) or name not in found.fields:
        raise ValueError(f"its index has no {name}")
    return found.fields[name]


def _number(found: Any, name: str) -> int:
    number = _field(found, name)
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"its index has {number!r} where a length belongs")
    return number


def _elements(found: Any) -> list[Any]:
    if not isinstance(found, JavaObject):
        raise ValueError("its index has no list where one belongs")
    return found.extra


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise ValueError("its index has no text where one belongs")
    return found


def content(entry: Entry, algorithm: str, fetch: Fetch, skip: int = 0) -> Iterator[bytes]:
    """One log's bytes, at most as many as it had on its node.

    There may be fewer: the NodeManager could not read it to its end, or it became shorter meanwhile.

    Args:
        entry, algorithm: from the index.
        fetch: reads a part of the file.
        skip: bytes of the log to leave out.

    Raises:
        LogsUnavailable: it is compressed with something else than gz, or damaged.
    """
    seek = min(skip, entry.packed) if algorithm == "none" else 0
    left, skip = entry.size - seek, skip - seek
    with damage():
        if entry.packed <= seek:
            return
        for piece in unpacked(algorithm, fetch(entry.start + seek, entry.packed - seek)):
            found, left = piece[skip:left], left - len(piece)
            skip = max(0, skip - len(piece))
            if found:
                yield found
            if left <= 0:
                return


def checked_length(data: bytes) -> tuple[str, int]:
    """What a checksum file says: the name of the file it speaks of (empty before Hadoop 3.0) and its good length."""
    with damage():
        if len(data) == 8:
            return "", int(struct.unpack(">q", data)[0])
        (length,) = struct.unpack(">i", data[:4])
        if len(data) != 12 + length:
            raise ValueError("a checksum file has a length of its own")
        return data[4 : 4 + length].decode(), int(struct.unpack(">q", data[-8:])[0])
