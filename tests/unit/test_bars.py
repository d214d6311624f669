"""Progress bars that are drawn with carriage returns: read as they are drawn, shown as a terminal would."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from knit_core.cli.log_output import LinePrinter
from knit_core.logs import Bars, LogCursor, LogLine
from knit_core.logs.lines import LONGEST, blocks
from tests.simulated_clock import SimulatedClock
from tests.unit.follow_harness import Bed
from tests.unit.node_harness import Node

ROW = SimpleNamespace(id="main_0", yarn="c", instance=0, service="main", host="n", attempt=1)


def _line(text: str, ended: bool = False, yarn: str = "c", stream: str = "stderr") -> LogLine:
    return LogLine("main_0", 0, "n", stream, text, 1, yarn, ended)


def _blocks(data: bytes, final: bool = False, start: int = 0) -> list[bytes]:
    return [
        block.data for block in blocks(ROW, "stderr", start, [data[i : i + 7] for i in range(0, len(data), 7)], final)
    ]  # type: ignore[arg-type]


def test_a_bar_is_handed_out_as_it_is_drawn_and_an_unfinished_line_is_not() -> None:
    assert b"".join(_blocks(b"begin\n\r  0%|  | 0/9\r 10%|# | 1/9")) == b"begin\n\r  0%|  | 0/9\r 10%|# | 1/9"
    assert _blocks(b"no line yet") == []
    assert _blocks(b"windows\r") == []  # its newline may follow
    assert b"".join(_blocks(b"1%\r2%\r")) == b"1%\r2%"


def test_a_character_of_a_bar_is_not_cut() -> None:
    whole = "\r 10%|█".encode()
    assert _blocks(whole[:-1]) == [whole[:-3]]


def test_texts_of_a_bar_are_one_line_byte_for_byte() -> None:
    data = b"\r 1%\r 2%\r 3% done\r\nnext\n"
    for cut in range(1, len(data)):
        cursor, lines, at = LogCursor(), [], 0
        for end in (cut, len(data)):
            for block in blocks(ROW, "stderr", at, [data[at:end]], False):  # type: ignore[arg-type]
                lines += block.lines(cursor)
                at = block.start + len(block.data)
        assert "".join(line.text + "\n" * line.ended for line in lines) == "\r 1%\r 2%\r 3% done\nnext\n", cut
        assert at == cursor.at("c", "stderr") == len(data)


def test_a_line_without_an_end_is_handed_out_in_pieces_of_bounded_size() -> None:
    held = max(len(data) for data in _blocks(b"x" * (3 * LONGEST)))
    assert held <= LONGEST


@pytest.fixture
def bed() -> Any:
    made = Bed()
    yield made
    made.stop()
    for node in made.nodes:
        node.close()


def test_a_bar_on_a_node_comes_while_it_is_drawn(bed: Bed) -> None:
    node: Node = bed.node()
    row = node.row(0)
    node.write(row.yarn, b"\r  0%|    | 0/2", "stderr")
    bed.follow(row)
    bed.until(lambda: bed.texts("stderr") == ["\r  0%|    | 0/2"])
    node.write(row.yarn, b"\r 50%|##  | 1/2", "stderr")
    bed.until(lambda: len(bed.lines) == 2)
    assert bed.lines[-1].shown == " 50%|##  | 1/2"
    node.write(row.yarn, b"\r100%|####| 2/2\n", "stderr")
    bed.until(lambda: len(bed.lines) == 3)
    assert bed.lines[-1].ended


def test_of_a_bar_a_line_is_shown_now_and_then_and_the_last() -> None:
    clock = SimulatedClock()
    bars = Bars(10.0, clock)
    shown = []
    for percent in range(800):
        shown.append(bars.text(_line(f"\r{percent / 8}%")))
        clock.sleep(0.125)
    assert [text for text in shown if text] == [f"{percent}.0%" for percent in range(0, 100, 10)]
    assert bars.text(_line("\r100%", ended=True)) == "100%"
    assert bars.text(_line("plain", ended=True)) == "plain"


def test_the_end_of_a_bar_is_shown_once() -> None:
    bars = Bars(10.0, SimulatedClock())
    assert [bars.text(_line("\r1%")), bars.text(_line("\r2%")), bars.text(_line("", ended=True))] == ["1%", None, "2%"]
    assert [bars.text(_line("\r1%")), bars.text(_line("", ended=True))] == ["1%", None]
    assert [bars.text(_line("\r1%")), bars.text(_line("\r2%")), bars.rest()] == ["1%", None, [(("c", "stderr"), "2%")]]
    assert bars.rest() == []


def test_memory_for_a_line_without_an_end_is_bounded() -> None:
    bars = Bars(10.0, SimulatedClock())
    bars.text(_line("\r1%"))
    for _ in range(50):
        bars.text(_line("x" * LONGEST))
    assert sum(len(bar.text) for bar in bars._open.values()) <= LONGEST
    assert bars.text(_line("y" * LONGEST)) == "y" * LONGEST  # a piece of a long line is shown at once


def _screen(text: str) -> list[str]:
    """What a terminal shows."""
    lines = [""]
    for part in text.replace("\x1b[K", "").split("\n"):
        lines[-1] = part.rpartition("\r")[2]
        lines.append("")
    return lines[:-1]


def test_one_container_draws_its_bar_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((30, 20)))
    written: list[str] = []
    printer = LinePrinter(written.append, True)
    printer.line(_line("[knit: said by the reader]", ended=True, yarn="", stream="knit"))
    written.clear()
    printer.line(_line("begin", ended=True))
    printer.line(_line("\r 1%|#" + 40 * " " + "|"))
    assert _screen("".join(written)) == ["0 n | begin", f"0 n |  1%|#{' ' * 18}"]
    printer.line(_line("hello", ended=True, stream="stdout"))
    assert _screen("".join(written))[1:] == ["0 n | hello", f"0 n |  1%|#{' ' * 18}"]
    printer.line(_line("\r 2%"))
    printer.line(_line("\r100%", ended=True))
    printer.close()
    assert _screen("".join(written))[1:] == ["0 n | hello", "0 n | 100%", ""]


def test_bars_of_several_containers_and_into_a_file_are_lines() -> None:
    for terminal in (True, False):
        written: list[str] = []
        printer = LinePrinter(written.append, terminal, SimulatedClock())
        printer.line(_line("other", ended=True, yarn="d"))
        for percent in range(100):
            printer.line(_line(f"\r{percent}%"))
        printer.line(_line("\r100%", ended=True))
        printer.line(_line("\r 7%", yarn="d"))
        printer.line(_line("\r 8%", yarn="d"))
        assert printer.busy
        printer.close()
        if terminal:
            assert "\x1b" not in "".join(written)
        assert _screen("".join(written))[:-1] == ["0 n | other", "0 n | 0%", "0 n | 100%", "0 n |  7%", "0 n |  8%"]
