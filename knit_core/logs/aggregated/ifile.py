"""Reads Hadoop's indexed format of aggregated logs ("IFile"). Pure.

Layout, from LogAggregationIndexedFileController: a mark (the SHA-256 of the application's id; a UUID as text before Hadoop
3.0), the logs, each compressed separately, an index, the index's length (4 bytes) and the mark again. Rolling aggregation
appends more logs and a new index, which includes the old entries. During that time a file `<node>-checksum` contains the
length that was valid before. The index is a serialised Java object.
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
_INDEX = 1 << 25  # maximum bytes of an index: 400,000 logs
_SMALLEST_ENTRY = 40  # minimum bytes of a log's entry in the index
_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Entry:
    """One log in a file.

    Attributes:
        container: YARN's id; name: of the log (`stdout`).
        start, packed: offset and number of its compressed bytes.
        size: its bytes on the node.
        cycle: number of its upload, from 0.
    """

    container: str
    name: str
    start: int
    packed: int
    size: int
    cycle: int


@dataclass(frozen=True)
class Index:
    """The content of a file: `algorithm` is Hadoop's name of the compression; entries in the order of their offsets."""

    algorithm: str
    entries: tuple[Entry, ...]


def mark_length(app_id: str, tail: bytes) -> int:
    """Length of the mark at the end of a file's last bytes (TAIL or more); 0 without a mark.

    A file without a mark is not an IFile, or is being written.
    """
    if tail[-32:] == hashlib.sha256(app_id.encode()).digest():
        return 32
    return 36 if _UUID.fullmatch(tail[-36:]) else 0


def read_index(app_id: str, size: int, fetch: Fetch) -> Index:
    """The index of a file, or of its first `size` bytes.

    Args:
        app_id: the application's id.
        size: number of valid bytes.
        fetch: reads a part of it.

    Raises:
        LogsUnavailable: the file has no mark at its end, or its index is damaged.
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
                    raise ValueError("its index repeats the same logs")
    entries.sort(key=lambda entry: (entry.cycle, entry.start))
    before = mark
    for entry in entries:
        # A log that could not be opened on its node has neither offset nor bytes. Logs must not overlap: otherwise a
        # small file could produce any number of bytes.
        if entry.packed and not before <= entry.start <= entry.start + entry.packed <= end:
            raise ValueError("its index has offsets outside of the file, or logs that overlap")
        before = max(before, entry.start + entry.packed)
    return Index(_text(_field(found, "compressName")), tuple(entries))


def _field(found: Any, name: str) -> Any:
    if not isinstance(found, JavaObject) or name not in found.fields:
        raise ValueError(f"its index has no {name}")
    return found.fields[name]


def _number(found: Any, name: str) -> int:
    number = _field(found, name)
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"its index has {number!r} in place of a length")
    return number


def _elements(found: Any) -> list[Any]:
    if not isinstance(found, JavaObject):
        raise ValueError("its index lacks a list")
    return found.extra


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise ValueError("its index lacks a text")
    return found


def content(entry: Entry, algorithm: str, fetch: Fetch, skip: int = 0) -> Iterator[bytes]:
    """One log's bytes, at most as many as on its node.

    There may be fewer if the NodeManager could not read the log to its end, or the log became shorter.

    Args:
        entry, algorithm: from the index.
        fetch: reads a part of the file.
        skip: bytes of the log to leave out.

    Raises:
        LogsUnavailable: it is damaged, or its compression is not gz.
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
    """The content of a checksum file: a file name (empty before Hadoop 3.0) and its valid length."""
    with damage():
        if len(data) == 8:
            return "", int(struct.unpack(">q", data)[0])
        (length,) = struct.unpack(">i", data[:4])
        if len(data) != 12 + length:
            raise ValueError("a checksum file has an unexpected length")
        return data[4 : 4 + length].decode(), int(struct.unpack(">q", data[-8:])[0])
