"""Reads Hadoop's TFile (inside BCFile), the default format of aggregated logs, as a stream in bounded memory. Pure.

Layout, from org.apache.hadoop.io.file.tfile: data blocks, each compressed separately, then a meta index; the last 28 bytes
are the index's offset, a version and a magic number. A record is the key's length, the key, then the value in chunks, each
after its length (negative if more chunks follow). Numbers are TFile's own variable-length integers (Utils.readVLong),
which differ from Writable's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from knit_core.errors import LogsUnavailable
from knit_core.logs.streams import Fetch, Stream, damage, unpacked

MAGIC = bytes.fromhex("d111d36891b5d7b639df414092bae150")
TAIL = 28
_INDEX = 1 << 26  # maximum bytes of an index; that of a file of 10 GB has half a million


def is_tfile(tail: bytes) -> bool:
    """Whether a file with these last bytes (16 or more) is a TFile."""
    return tail[-16:] == MAGIC


class Block(NamedTuple):
    """The offset of a data block, and its length compressed and raw."""

    algorithm: str
    offset: int
    packed: int
    raw: int


def entries(
    size: int, fetch: Fetch, wanted: Callable[[str], bool] = lambda key: True
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Each record's key, and its value in pieces; the rest of a value that is not read to its end is skipped.

    Args:
        size: the file's length in bytes.
        fetch: reads a part of it.
        wanted: filters by key; other records may still be returned.

    Raises:
        LogsUnavailable: not a TFile, truncated, or with an unsupported compression.
    """
    for key, value, _block in records(size, fetch, wanted):
        yield key, value


def records(
    size: int, fetch: Fetch, wanted: Callable[[str], bool] = lambda key: True
) -> Iterator[tuple[str, Iterator[bytes], Block]]:
    """As `entries`, each with its block."""
    if size < TAIL:
        raise LogsUnavailable(f"the file has only {size} bytes: it was not finished")
    with damage():
        tail = b"".join(fetch(size - TAIL, TAIL))
        if not is_tfile(tail):
            raise LogsUnavailable("the file is not a TFile")
        index_at = struct.unpack(">q", tail[:8])[0]
        if not 0 <= index_at < size:
            raise ValueError("the offset of its index is outside of the file")
        metas = _metas(Stream(fetch(index_at, size - TAIL - index_at)))
        blocks = _blocks(Stream(_meta(metas["data:BCFile.index"], fetch)), size)
        only = _only_keys(metas.get("data:TFile.index"), fetch)
        before = 0
        for number, block in enumerate(blocks):
            if block.offset < before:
                raise ValueError("its blocks overlap")
            before = block.offset + block.packed
            if number in only and not wanted(only[number]):
                continue
            for key, value in in_block(block, fetch):
                yield key, value, block


_Meta = tuple[str, int, int]  # algorithm, offset, packed length


def _metas(stream: Stream) -> dict[str, _Meta]:
    found = {}
    for _ in range(stream.vlong()):
        name, algorithm = stream.string(), stream.string()
        found[name] = (algorithm, stream.vlong(), stream.vlong())
        stream.vlong()
    return found


def _meta(meta: _Meta, fetch: Fetch) -> Iterator[bytes]:
    """A meta block's whole content, read before the next request."""
    algorithm, offset, packed = meta
    content = bytearray()
    for piece in unpacked(algorithm, fetch(offset, packed)):
        content += piece
        if len(content) > _INDEX:
            raise ValueError(f"its index has more than {_INDEX} bytes")
    return iter([bytes(content)])


def _blocks(stream: Stream, size: int) -> Iterator[Block]:
    algorithm, count = stream.string(), stream.vlong()
    if not 0 <= count <= size:
        raise ValueError(f"its index has {count} blocks")
    return (Block(algorithm, stream.vlong(), stream.vlong(), stream.vlong()) for _ in range(count))


def _only_keys(meta: _Meta | None, fetch: Fetch) -> dict[int, str]:
    """The keys of blocks with one record, by block number: a large log has a block of its own."""
    found: dict[int, str] = {}
    if meta is None:
        return found
    stream = Stream(_meta(meta, fetch))
    stream.read(stream.vlong())  # the first key
    number = 0
    while not stream.at_end():
        entry = Stream(iter([stream.read(stream.vlong())]))
        key = entry.read(entry.vlong())
        if entry.vlong() == 1:
            found[number] = key[2:].decode("utf-8", "replace")
        number += 1
    return found


def in_block(place: Block, fetch: Fetch) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The records of one block, as `entries`."""
    with damage():
        block = Stream(unpacked(place.algorithm, fetch(place.offset, place.packed)))
        while block.position < place.raw:
            key = Stream(iter([block.read(block.vlong())])).utf()
            value = _chunks(block)
            yield key, value
            for _rest in value:
                pass
        if not block.at_end():
            raise ValueError("a block is longer than in the index")


def _chunks(block: Stream) -> Iterator[bytes]:
    last = False
    with damage():
        while not last:
            length = block.vlong()
            last = length >= 0
            yield from block.pieces(abs(length))


def container_files(value: Iterator[bytes]) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """Files in a container's value: name, length in bytes and content in pieces. Stored as (name, length as text, bytes).

    Raises:
        LogsUnavailable: the value is damaged or truncated.
    """
    stream = Stream(value)
    with damage():
        while not stream.at_end():
            name, length = stream.utf(), int(stream.utf())
            if length < 0:
                raise ValueError(f"a length in it is {length}")
            content = _content(stream, length)
            yield name, length, content
            for _rest in content:
                pass


def _content(stream: Stream, length: int) -> Iterator[bytes]:
    with damage():
        yield from stream.pieces(length)
