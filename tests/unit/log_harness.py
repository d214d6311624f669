"""Writers of Hadoop's formats of aggregated logs, by their layouts and independent of the readers."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence

from knit_core.logs.streams import Fetch

MAGIC = bytes.fromhex("d111d368 91b5d7b6 39df4140 92bae150")


def vlong(n: int) -> bytes:
    """The layout of org.apache.hadoop.io.file.tfile.Utils.writeVLong."""
    if -32 <= n < 128:
        return struct.pack("b", n)
    for count, limit, base in ((1, 20, 52), (2, 16, 88), (3, 8, 112)):
        first = n >> (8 * count)
        if -limit <= first < limit:
            return struct.pack("b", first - base) + (n & ((1 << (8 * count)) - 1)).to_bytes(count, "big")
    size = max(4, (n if n >= 0 else ~n).bit_length() // 8 + 1)
    return struct.pack("b", size - 129) + n.to_bytes(size, "big", signed=True)


def string(text: str) -> bytes:
    return vlong(len(text.encode())) + text.encode()


def utf(text: str) -> bytes:
    return struct.pack(">H", len(text.encode())) + text.encode()


def log(**streams: bytes) -> bytes:
    """A container's value: (name, length as text, bytes) for each stream."""
    return b"".join(utf(name) + utf(str(len(data))) + data for name, data in streams.items())


def record(key: str, value: bytes, chunk: int = 0) -> bytes:
    pieces = [value[at : at + chunk] for at in range(0, len(value), chunk)] if chunk and value else [value]
    chunks = b"".join(vlong(-len(piece)) + piece for piece in pieces[:-1]) + vlong(len(pieces[-1])) + pieces[-1]
    return vlong(len(utf(key))) + utf(key) + chunks


_PACK = {"none": bytes, "gz": zlib.compress, "lzo": bytes}


def tfile(blocks: list[list[bytes]], algorithm: str = "none", pack: str = "") -> bytes:
    squeeze = gzip.compress if pack == "gzip" else _PACK[algorithm]
    out = MAGIC
    index = string(algorithm) + vlong(len(blocks))
    for block in blocks:
        raw = b"".join(block)
        packed = squeeze(raw)
        index += vlong(len(out)) + vlong(len(packed)) + vlong(len(raw))
        out += packed
    index_at = len(out)
    out += index
    meta_at = len(out)
    place = vlong(index_at) + vlong(len(index)) + vlong(len(index))
    out += vlong(1) + string("data:BCFile.index") + string("none") + place
    return out + struct.pack(">q", meta_at) + struct.pack(">HH", 1, 0) + MAGIC


def fetcher(data: bytes, piece: int = 7) -> Fetch:
    """Ranges of `data`, in pieces of so many bytes."""

    def fetch(offset: int, length: int) -> Iterator[bytes]:
        part = data[offset : offset + length]
        return iter([part[at : at + piece] for at in range(0, len(part), piece)])

    return fetch


class Java:
    """Writes values as java.io.ObjectOutputStream does: classes and texts once, then references to them."""

    def __init__(self) -> None:
        self.out = bytearray(b"\xac\xed\x00\x05")
        self._handles: dict[object, int] = {}
        self._next = 0x7E0000

    def _known(self, key: object) -> bool:
        if key in self._handles:
            self.out += b"\x71" + struct.pack(">I", self._handles[key])
            return True
        self._handles[key] = self._next
        self._next += 1
        return False

    def text(self, text: str | None) -> None:
        if text is None:
            self.out += b"\x70"
        elif not self._known(("text", text)):
            self.out += b"\x74" + utf(text)

    def _class(self, name: str, flags: int, fields: Sequence[tuple[str, str]]) -> None:
        if self._known(("class", name)):
            return
        # The handle belongs to the class before the texts in it get theirs.
        self.out += b"\x72" + utf(name) + bytes(8) + bytes([flags]) + struct.pack(">H", len(fields))
        for kind, field in fields:
            self.out += kind[:1].encode() + utf(field)
            if len(kind) > 1:
                self.text(kind)
        self.out += b"\x78\x70"

    def _object(self, name: str, flags: int, fields: Sequence[tuple[str, str]]) -> None:
        self.out += b"\x73"
        self._class(name, flags, fields)
        self._next += 1

    def items(self, kind: str, count: int) -> None:
        """The beginning of an ArrayList or a HashMap; its elements follow, then `end`."""
        if kind == "list":
            self._object("java.util.ArrayList", 3, [("I", "size")])
            self.out += struct.pack(">i", count) + b"\x77\x04" + struct.pack(">i", count)
        else:
            self._object("java.util.HashMap", 3, [("F", "loadFactor"), ("I", "threshold")])
            self.out += struct.pack(">fi", 0.75, 12) + b"\x77\x08" + struct.pack(">ii", 16, count)

    def end(self) -> None:
        self.out += b"\x78"

    def enum(self, kind: str, name: str) -> None:
        self.out += b"\x7e"
        self._class(kind, 0x12, [])
        self._next += 1
        self.text(name)


_PREFIX = "org.apache.hadoop.yarn.logaggregation.filecontroller.ifile.LogAggregationIndexedFileController$"
_TEXT, _MAP, _LIST = "Ljava/lang/String;", "Ljava/util/Map;", "Ljava/util/List;"
Upload = dict[str, dict[str, tuple[int, int, int]]]  # container -> log -> (start, packed, size)


def java_index(uploads: Sequence[Upload], algorithm: str, old_name: bool = False) -> bytes:
    java = Java()
    fields = [
        ("I", "version"),
        (_MAP, "acls"),
        (_TEXT, "compressName"),
        (_LIST, "logMetas"),
        (_TEXT, "nodeId"),
        (_TEXT, "user"),
    ]
    java._object(_PREFIX + "IndexedLogsMeta", 2, fields)
    java.out += struct.pack(">i", 1)
    java.items("map", 2)
    for access in ("VIEW_APP", "MODIFY_APP"):
        java.enum("org.apache.hadoop.yarn.api.records.ApplicationAccessType", access)
        java.text("alice")
    java.end()
    java.text(algorithm)
    java.items("list", len(uploads))
    for number, upload in enumerate(uploads):
        java._object(
            _PREFIX + "IndexedPerAggregationLogMeta",
            2,
            [("J", "uploadTimeStamp"), (_MAP, "logMetas"), (_TEXT, "remoteNodeLogFileName")],
        )
        java.out += struct.pack(">q", number)
        java.items("map", len(upload))
        for container, logs in upload.items():
            java.text(container)
            java.items("list", len(logs))
            for name, (start, packed, size) in logs.items():
                modified = "lastModificatedTime" if old_name else "lastModifiedTime"
                longs = ("fileCompressedSize", "fileSize", modified, "startIndex")
                java._object(
                    _PREFIX + "IndexedFileLogMeta", 2,
                    [*(("J", each) for each in longs), (_TEXT, "containerId"), (_TEXT, "fileName")],
                )  # fmt: skip
                java.out += struct.pack(">qqqq", packed, size, 1000 + number, start)
                java.text(container)
                java.text(name)
            java.end()
        java.end()
        java.text("node_1")
    java.end()
    java.text("node_1:1")
    java.text("alice")
    return bytes(java.out)


def ifile(
    app_id: str, uploads: Sequence[dict[str, dict[str, bytes]]], algorithm: str = "none", old: bool = False
) -> bytes:
    """An indexed file as several uploads leave it: (container -> log -> content) for each."""
    mark = b"0f8fad5b-d9cb-469f-a165-70867728950e" if old else hashlib.sha256(app_id.encode()).digest()
    out = mark
    done: list[Upload] = []
    for upload in uploads:
        places: Upload = {}
        out += b"\n" if done or old else b""
        for container, logs in upload.items():
            for name, content in logs.items():
                packed = _PACK[algorithm](content)
                places.setdefault(container, {})[name] = (len(out), len(packed), len(content))
                out += packed
        done.append(places)
        index = java_index(done, algorithm, old)
        out += index + struct.pack(">I", len(index)) + mark
    return out
