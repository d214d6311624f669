"""Hadoop's indexed format read from files built here by its layout, whole, growing, damaged and hostile."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knit_core.errors import LogsUnavailable
from knit_core.logs.aggregated import ifile
from knit_core.logs.aggregated import java_objects as javaobjects
from knit_core.logs.aggregated.java_objects import JavaObject, parse
from knit_core.logs.streams import Ranges
from tests.unit import log_harness
from tests.unit.log_harness import Java, fetcher, java_index

APP = "application_1795412523572_0042"
MARK = hashlib.sha256(APP.encode()).digest()
Logs = dict[str, dict[str, bytes]]


def read(data: bytes, piece: int = 1000, skip: int = 0) -> list[Logs]:
    """Each upload's logs."""
    ranges = Ranges(len(data), fetcher(data, piece))
    index = ifile.read_index(APP, len(data), ranges.pieces)
    found: list[Logs] = []
    for entry in index.entries:
        while len(found) <= entry.cycle:
            found.append({})
        content = b"".join(ifile.content(entry, index.algorithm, ranges.pieces, skip))
        found[entry.cycle].setdefault(entry.container, {})[entry.name] = content
    return found


_logs = st.dictionaries(
    st.sampled_from([f"container_{number}" for number in range(4)]),
    st.dictionaries(st.sampled_from(["stdout", "stderr", "a b", "é"]), st.binary(max_size=300), min_size=1),
    min_size=1,
)


@given(st.lists(_logs, min_size=1, max_size=3), st.sampled_from(["none", "gz"]), st.booleans(), st.integers(0, 400))
def test_what_was_written_is_read(uploads: list[Logs], algorithm: str, old: bool, skip: int) -> None:
    data = log_harness.ifile(APP, uploads, algorithm, old)
    assert read(data) == uploads
    assert read(data, skip=skip) == [
        {c: {n: b[skip:] for n, b in logs.items()} for c, logs in u.items()} for u in uploads
    ]


def test_before_an_upload_is_finished_the_earlier_ones_are_good() -> None:
    uploads: list[Logs] = [{"c": {"stdout": b"one"}}, {"c": {"stdout": b"one two"}}]
    whole, first = log_harness.ifile(APP, uploads), log_harness.ifile(APP, uploads[:1])
    growing = whole[:-20]
    assert not ifile.mark_length(APP, growing[-ifile.TAIL :])
    with pytest.raises(LogsUnavailable, match="does not end with an index"):
        read(growing)
    index = ifile.read_index(APP, len(first), fetcher(growing))
    assert [(entry.name, entry.size) for entry in index.entries] == [("stdout", 3)]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (struct.pack(">q", 77), ("", 77)),
        (struct.pack(">i", 3) + b"n_1" + struct.pack(">q", 2**33), ("n_1", 2**33)),
    ],
)
def test_checksum_files_of_old_and_new(data: bytes, found: tuple[str, int]) -> None:
    assert ifile.checked_length(data) == found
    for cut in (data[:-1], data + b"x", b""):
        with pytest.raises(LogsUnavailable, match="damaged"):
            ifile.checked_length(cut)


def test_a_log_that_its_node_could_not_copy_is_short() -> None:
    """The index says how much there was; nothing of the next log is taken for it."""
    body = MARK + b"abc" + b"next"
    index = java_index([{"c": {"stdout": (32, 3, 10), "stderr": (35, 4, 4), "gone": (0, 0, 0)}}], "none")
    data = body + index + struct.pack(">I", len(index)) + MARK
    assert read(data) == [{"c": {"stdout": b"abc", "stderr": b"next", "gone": b""}}]


def test_another_compression_is_named() -> None:
    with pytest.raises(LogsUnavailable, match="compressed with lzo; only none and gz can be read") as caught:
        read(log_harness.ifile(APP, [{"c": {"stdout": b"x"}}], "lzo"))
    assert caught.value.reason == "compression"


def _with_index(index: bytes, body: bytes = b"x" * 100, length: int | None = None) -> bytes:
    return MARK + body + index + struct.pack(">I", len(index) if length is None else length) + MARK


def _nested(depth: int) -> bytes:
    java = Java()
    for _ in range(depth):
        java.items("list", 1)
    return bytes(java.out) + b"\x78" * depth


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "only 0 bytes"),
        (MARK, "only 32 bytes"),
        (b"x" * 500, "does not end with an index"),
        (MARK[:-1] + b"?" + b"x" * 100, "does not end with an index"),
        (_with_index(b"", length=2**32 - 1), "index would have"),
        (_with_index(b"", length=1 << 20), "index would have"),
        (_with_index(b"no java"), "not a serialised Java value"),
        (_with_index(b"\xac\xed\x00\x05\x70"), "no logMetas"),
        (_with_index(b"\xac\xed\x00\x05\x75"), "unexpected type"),
        (_with_index(b"\xac\xed\x00\x05\x71\x00\x7e\x00\x00"), "has no target"),
        (_with_index(b"\xac\xed\x00\x05\x7c" + b"\xff" * 8), "longer than the data"),
        (_with_index(_nested(500)), "nested too deeply"),
        (_with_index(java_index([{"c": {"stdout": (32, 2**40, 5)}}], "none")), "offsets outside of the file"),
        (_with_index(java_index([{"c": {"stdout": (-5, 5, 5)}}], "none")), "in place of a length"),
        (_with_index(java_index([{"c": {"a": (32, 50, 50), "b": (60, 50, 50)}}], "none")), "overlap"),
        (_with_index(java_index([{"c": {"stdout": (32, 50, 50)}}], "none")[:-40]), "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(data: bytes, says: str) -> None:
    with pytest.raises(LogsUnavailable, match=says):
        read(data)


def test_the_same_logs_named_for_ever_are_damage() -> None:
    """A small index whose references make it name one log millions of times."""
    java = Java()
    java._object("Index", 2, [("LX;", "compressName"), ("LX;", "logMetas")])
    java.text("none")
    java.items("list", 0)
    java._object("Upload", 2, [("LX;", "logMetas")])
    java.items("map", 0)
    java.text("c")
    handle = java._next  # the list's, as its class is known
    java.items("list", 0)
    java._object(
        "Log", 2, [*(("J", each) for each in ("fileCompressedSize", "fileSize", "startIndex")), ("LX;", "fileName")]
    )
    java.out += struct.pack(">qqq", 0, 0, 0)
    java.text("stdout")
    java.end()
    for _ in range(3000):
        java.text("c")
        java.out += b"\x71" + struct.pack(">I", handle)
    java.out += b"\x78\x78"
    found = parse(bytes(java.out))
    assert len(found.fields["logMetas"].extra[0].fields["logMetas"].extra) == 6002
    with pytest.raises(LogsUnavailable, match="repeats the same logs"):
        read(_with_index(bytes(java.out)))


_good = [
    log_harness.ifile(
        APP, [{"container_1": {"stdout": b"hello " * 9, "stderr": b"!"}}, {"container_2": {"a": b""}}], algorithm
    )
    for algorithm in ("none", "gz")
]


@settings(max_examples=400, deadline=2000)
@given(st.sampled_from(_good), st.data())
def test_a_damaged_file_is_said_to_be_damaged_and_ends(good: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3)) * 7
    damaged = (good[:at] + bytes([byte]) + good[at + 1 :])[: len(good) - cut]
    try:
        read(damaged)
    except LogsUnavailable as error:
        assert str(error)


@settings(max_examples=200, deadline=2000)
@given(st.binary(max_size=400))
def test_no_data_makes_the_parser_do_anything_but_say_so(data: bytes) -> None:
    for prefix in (b"", b"\xac\xed\x00\x05", b"\xac\xed\x00\x05\x73\x72"):
        try:
            parse(prefix + data)
        except ValueError as error:
            assert str(error)


def test_a_class_that_is_its_own_ancestor_ends() -> None:
    loop = b"\xac\xed\x00\x05\x73\x72" + b"\x00\x01A" + bytes(8) + b"\x02\x00\x00\x78\x71\x00\x7e\x00\x00"
    with pytest.raises(ValueError, match="ancestors"):
        parse(loop)


def test_an_index_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each null takes a byte and becomes something: there is a number at which it is no index any more."""
    monkeypatch.setattr(javaobjects, "_MOST", 1000)
    nulls = b"\xac\xed\x00\x05\x73\x72\x00\x01A" + bytes(8) + b"\x03\x00\x00\x78\x70" + b"\x70" * 2000
    with pytest.raises(LogsUnavailable, match="too many"):
        read(_with_index(nulls))


def test_a_few_packed_bytes_do_not_fill_the_memory() -> None:
    bomb = log_harness.ifile(APP, [{"c": {"stdout": bytes(1 << 26)}}], "gz")
    ranges = Ranges(len(bomb), fetcher(bomb, 1 << 18))
    index = ifile.read_index(APP, len(bomb), ranges.pieces)
    tracemalloc.start()
    assert sum(len(piece) for piece in ifile.content(index.entries[0], "gz", ranges.pieces)) == 1 << 26
    _now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 << 20


def test_values_of_java() -> None:
    java = Java()
    java.items("list", 3)
    java.text("é")
    java.text("é")
    java.text(None)
    java.end()
    found = parse(bytes(java.out))
    assert isinstance(found, JavaObject)
    assert (found.kind, found.fields, found.extra) == ("java.util.ArrayList", {"size": 3}, ["é", "é", None])
