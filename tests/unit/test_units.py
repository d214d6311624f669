"""Amounts of memory and time: what people write, what is refused, and that what is shown can be read back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knit_core.model.units import counted, mebibytes, seconds, show_bytes, show_memory, show_seconds


@pytest.mark.parametrize(
    ("written", "mib"),
    [
        (512, 512),
        (512.0, 512),
        (0.5, 1),
        ("512", 512),
        (" 512 MiB ", 512),
        ("2GiB", 2048),
        ("2 gib", 2048),
        ("1.5 g", 1536),
        ("64m", 64),
        ("1k", 1),
        ("1048577 B", 2),
        ("2 GB", 1908),
        ("1 MB", 1),
        ("1 TiB", 2**20),
    ],
)
def test_memory(written: int | float | str, mib: int) -> None:
    assert mebibytes(written) == mib


@pytest.mark.parametrize(
    "written",
    ["", "much", "2 parsecs", "-1", "1 2", "GiB", "0", "1,5 GiB", 0, -3, True, None, [1], math.inf, math.nan, 10**400],
)
def test_no_memory(written: object) -> None:
    with pytest.raises(ValueError, match="memory"):
        mebibytes(written)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0, 0.0),
        (30, 30.0),
        (0.5, 0.5),
        ("30", 30.0),
        ("30 s", 30.0),
        ("250 ms", 0.25),
        ("5 min", 300.0),
        ("5 minutes", 300.0),
        ("5m", 300.0),
        ("1 h", 3600.0),
        ("2 hrs", 7200.0),
        ("1h30m", 5400.0),
        ("1 day 2 hours", 93600.0),
        ("10 secs", 10.0),
    ],
)
def test_time(written: int | float | str, expected: float) -> None:
    assert seconds(written) == pytest.approx(expected)


@pytest.mark.parametrize(
    "written", ["", "  ", "soon", "5 fortnights", "-1 s", "1.5.5", "h", -1, True, None, math.inf, math.nan, 10**400]
)
def test_no_time(written: object) -> None:
    with pytest.raises(ValueError, match="time span"):
        seconds(written)  # type: ignore[arg-type]


@given(st.integers(1, 2**31 - 1))
def test_memory_of_a_number_is_that_number_in_every_spelling(mib: int) -> None:
    assert mebibytes(mib) == mebibytes(str(mib)) == mebibytes(f"{mib} MiB") == mebibytes(f"{mib * 1024}k") == mib


@given(st.floats(0.001, 2**40))
def test_memory_is_never_less_than_what_was_asked_for(mib: float) -> None:
    assert mib <= mebibytes(mib) < mib + 1


@given(st.integers(0, 10**7), st.integers(0, 59), st.integers(0, 59))
def test_parts_of_a_time_span_add_up(hours: int, minutes: int, rest: int) -> None:
    assert seconds(f"{hours}h{minutes}m{rest}s") == hours * 3600 + minutes * 60 + rest


@given(st.text(max_size=12) | st.integers() | st.floats())
def test_anything_else_is_a_value_error(written: str | int | float) -> None:
    for read in (mebibytes, seconds):
        try:
            assert math.isfinite(read(written))
        except ValueError as error:
            assert "memory" in str(error) or "time span" in str(error)


@given(st.integers(0, 10**7))
def test_what_is_shown_of_a_time_span_can_be_read_back(span: int) -> None:
    assert seconds(show_seconds(span)) == pytest.approx(span, abs=0.05 if span < 3600 else 60)


@given(st.integers(1, 10**9))
def test_what_is_shown_of_memory_can_be_read_back(mib: int) -> None:
    assert mebibytes(show_memory(mib)) == pytest.approx(mib, rel=0.06)


def test_shown_as_people_write() -> None:
    assert [show_memory(n) for n in (512, 1024, 1536, 10240)] == ["512 MiB", "1 GiB", "1.5 GiB", "10 GiB"]
    assert [show_bytes(n) for n in (0, 812, 3_400, 34_000_000, 5 * 10**12)] == [
        "0 B",
        "812 B",
        "3.4 kB",
        "34 MB",
        "5000 GB",
    ]
    assert [show_seconds(n) for n in (3.14, 60, 250, 7200, 7500)] == [
        "3.1 s",
        "1 min",
        "4 min 10 s",
        "2 h",
        "2 h 5 min",
    ]


def test_numbers_of_things() -> None:
    assert [counted(n, "container") for n in (0, 1, 2)] == ["0 containers", "1 container", "2 containers"]
    assert [counted(2, what) for what in ("process", "entry", "day", "box")] == [
        "2 processes",
        "2 entries",
        "2 days",
        "2 boxes",
    ]
    assert (counted(1, "node", "has", "have"), counted(3, "node", "has", "have")) == ("1 node has", "3 nodes have")
