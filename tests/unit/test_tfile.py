"""Hadoop's TFile read from files built here by its layout: numbers, chunks, compression, and damage of every kind."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knit_core.errors import LogsUnavailable
from knit_core.logs.aggregated.tfile import container_files, entries
from knit_core.logs.streams import Ranges, Stream
from tests.unit.log_harness import fetcher, log, record, tfile, vlong


def read(data: bytes, piece: int = 7) -> list[tuple[str, dict[str, bytes]]]:
    found = []
    for key, value in entries(len(data), Ranges(len(data), fetcher(data, piece)).pieces):
        found.append((key, {name: b"".join(content) for name, _size, content in container_files(value)}))
    return found


@pytest.mark.parametrize(("algorithm", "pack"), [("none", ""), ("gz", ""), ("gz", "gzip")])
@pytest.mark.parametrize("chunk", [0, 1, 5, 1000])
def test_what_was_written_is_read(algorithm: str, pack: str, chunk: int) -> None:
    logs = {"container_1": {"stdout": b"out\n" * 300, "stderr": b""}, "container_2": {"stdout": bytes(range(256))}}
    blocks = [[record(key, log(**streams), chunk)] for key, streams in logs.items()]
    assert read(tfile(blocks, algorithm, pack)) == list(logs.items())
    assert read(tfile([list(itertools.chain(*blocks))], algorithm, pack)) == list(logs.items())
    assert read(tfile([])) == []


def test_what_is_not_read_is_skipped() -> None:
    data = tfile([[record(f"k{n}", log(stdout=b"x" * 500, stderr=b"y"), 64) for n in range(3)]])

    def fetch(offset: int, length: int) -> Iterator[bytes]:
        return iter([data[offset : offset + length]])

    assert [key for key, _ in entries(len(data), fetch)] == ["k0", "k1", "k2"]
    for _, value in entries(len(data), fetch):
        names = [name for name, _, _ in container_files(value)]
        assert names == ["stdout", "stderr"]


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "00"), (127, "7f"), (-32, "e0"), (128, "cc80"), (-33, "cbdf"), (5119, "dfff"), (5120, "a81400")],
)
def test_numbers_by_hand(number: int, written: str) -> None:
    assert vlong(number).hex() == written
    assert Stream(iter([bytes.fromhex(written)])).vlong() == number


_edges = [sign * (base << shift) + d for sign in (1, -1) for base in (1, 8, 16, 20, 32) for shift in range(0, 58)
          for d in (-1, 0, 1)]  # fmt: skip


@given(st.integers(-(2**63), 2**63 - 1) | st.sampled_from(_edges), st.integers(1, 9))
def test_numbers_of_any_size_are_read_as_written(number: int, piece: int) -> None:
    data = vlong(number) + b"\x01"
    stream = Stream(iter([data[at : at + piece] for at in range(0, len(data), piece)]))
    assert stream.vlong() == number
    assert (stream.position, stream.read(1)) == (len(data) - 1, b"\x01")


def test_every_edge_of_the_number_format() -> None:
    for number in _edges:
        assert Stream(iter([vlong(number)])).vlong() == number


def test_a_file_that_cannot_be_read_says_why() -> None:
    good = tfile([[record("container_1", log(stdout=b"hello"))]])
    for data, says in [
        (b"", "only 0 bytes: it was not finished"),
        (good[:27], "only 27 bytes"),
        (good[:-1], "not a TFile"),
        (b"x" * 100, "not a TFile"),
        (good[:-28] + struct.pack(">q", -1) + good[-20:], "index is outside of the file"),
        (good[:-28] + struct.pack(">q", 10**9) + good[-20:], "index is outside of the file"),
        (tfile([[record("k", b"v")]], "lzo"), "compressed with lzo; only none and gz can be read"),
    ]:
        with pytest.raises(LogsUnavailable, match=says):
            read(data)


_good = [
    tfile([[record("container_1", log(stdout=b"hello " * 9, stderr=b"!"), 11), record("container_2", log(a=b""))]], alg)
    for alg in ("none", "gz")
]


@settings(max_examples=400, deadline=2000)
@given(st.sampled_from(_good), st.data())
def test_a_damaged_file_is_said_to_be_damaged_and_ends(good: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255))
    damaged = good[:at] + bytes([byte]) + good[at + 1 :]
    try:
        read(damaged)
    except LogsUnavailable as error:
        assert str(error)


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_value_cut_short_is_damage(cut: int) -> None:
    value = log(stdout=b"hello " * 9)
    with pytest.raises(LogsUnavailable, match="damaged"):
        for _, _, content in container_files(iter([value[:-cut]])):
            list(content)
