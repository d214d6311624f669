"""Log lines: cutting bytes into lines, standing where a reader stood, and what a line looks like."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knit_core.logs.lines import LONGEST, LogCursor, LogLine, cut


def test_lines_and_the_bytes_that_each_took() -> None:
    assert list(cut(b"one\ntwo\r\n\nthr", final=False)) == [("one", 4, True), ("two", 5, True), ("", 1, True)]
    assert list(cut(b"one\ntwo\r\n\nthr", final=True))[-1] == ("thr", 3, False)
    assert list(cut(b"", final=True)) == []


def test_an_unfinished_character_waits_for_its_rest() -> None:
    whole = "é\n".encode()
    assert list(cut(whole[:1], final=False)) == []
    assert list(cut(whole, final=False)) == [("é", 3, True)]


def test_what_is_no_utf_8_is_replaced_and_counted_as_it_came() -> None:
    assert list(cut(b"a\xffb\n", final=False)) == [("a\ufffdb", 4, True)]


def test_a_line_too_long_to_hold_comes_in_pieces() -> None:
    data = b"x" * (2 * LONGEST + 5) + b"\n"
    pieces = list(cut(data, final=False))
    assert [taken for _, taken, _ in pieces] == [LONGEST, LONGEST, 6]
    assert "".join(text for text, _, _ in pieces) == "x" * (2 * LONGEST + 5)
    assert list(cut(b"x" * (LONGEST - 1), final=False)) == []
    assert [taken for _, taken, _ in cut(b"x" * LONGEST, final=False)] == [LONGEST]


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.data())
def test_lines_are_the_same_however_the_bytes_arrive(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    expected = [text for text, _, _ in cut(whole, final=True)]
    found: list[str] = []
    at = 0
    for end in [*sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5))), len(whole)]:
        for text, taken, _ in cut(whole[at:end], final=False):
            found.append(text)
            at += taken
    assert found == expected
    assert at == len(whole)


@pytest.mark.parametrize(
    ("container", "node", "shown"),
    [
        ("main_0", "node07", "0 node07 | hello"),
        ("main_12", "node07.example.org", "12 node07 | hello"),
        ("main_0", "127.0.0.1", "0 127.0.0.1 | hello"),
        ("worker_3", "node07", "worker_3 node07 | hello"),
        ("master", "", "master | hello"),
    ],
)
def test_what_a_line_looks_like(container: str, node: str, shown: str) -> None:
    assert str(LogLine(container, 0, node, "stdout", "hello")) == shown


def test_a_cursor_goes_through_json() -> None:
    cursor = LogCursor()
    cursor.move("container_1_0001_01_000002", "stdout", 10)
    cursor.move("container_1_0001_01_000002", "stderr", 3)
    cursor.move("container_1_0001_01_000002", "stdout", 12)
    other = LogCursor.load(json.loads(json.dumps(cursor.dump())))
    assert other == cursor
    assert other.at("container_1_0001_01_000002", "stdout") == 12
    assert other.at("container_1_0001_01_000003", "stdout") == 0
    assert LogCursor.load(None).dump() == {}
    cursor.dump()["x"] = 1
    assert "x" not in cursor.offsets
