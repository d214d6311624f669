"""Following containers on NodeManagers of this process: order, faults, slow and dead nodes, cursors, uploads.

More than 400 lines: all tests use the followers and nodes below.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
import traceback
from collections.abc import Iterator

import pytest

from knit_core.logs.lines import LONGEST, Block, LogCursor
from knit_core.logs.live.follow_nodes import Channel
from knit_core.logs.selection import Selection
from knit_core.model.result import Container
from knit_core.model.states import ContainerState
from tests.unit.follow_harness import Bed
from tests.unit.node_harness import DeadNode, Node


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    """Everything happens in a quarter of the usual time."""
    for name, value in (("SOONEST", 0.05), ("LATEST", 0.5), ("_GRACE", 0.5)):
        monkeypatch.setattr(f"knit_core.logs.live.follow_nodes.{name}", value)
    monkeypatch.setattr("knit_core.logs.live.nodemanager._TIMEOUT", (1.0, 2.5))
    made = Bed()
    yield made
    made.stop()
    for node in made.nodes:
        node.close()


def _ended(row: Container) -> Container:
    return dataclasses.replace(row, state=ContainerState.SUCCEEDED)


def test_one_look_gives_whole_lines_and_another_goes_on(bed: Bed) -> None:
    node = bed.node()
    row = node.row(0)
    node.write(row.yarn, b"one\ntwo\nthr")
    node.write(row.yarn, b"err\n", "stderr")
    node.write(row.yarn, b"not asked for\n", "launch_container.sh")
    assert [(line.stream, line.text) for line in bed.look(row)] == [
        ("stdout", "one"),
        ("stdout", "two"),
        ("stderr", "err"),
    ]
    node.write(row.yarn, b"ee\n")
    bed.cursor = LogCursor.load(json.loads(json.dumps(bed.cursor.dump())))
    assert [line.text for line in bed.look(row)] == ["three"]
    assert bed.look(row) == []
    node.write(row.yarn, b"end")
    assert bed.look(row) == []
    last = bed.look(_ended(row))
    assert [(line.text, line.ended) for line in last] == [("end", False)]
    assert bed.cursor.at(row.yarn, "stdout") == len(b"one\ntwo\nthree\nend")


def test_many_containers_each_in_order_nothing_twice(bed: Bed) -> None:
    nodes = [bed.node() for _ in range(3)]
    rows = [node.row(rank) for rank, node in enumerate(nodes * 4)]
    for row in rows:
        nodes[row.instance % 3].logs[row.yarn] = {"stdout": b""}
    follower = bed.follow(*rows, threads=2)
    for number in range(200):
        for row in rows:
            nodes[row.instance % 3].write(row.yarn, b"%d-%d\n" % (row.instance, number))
    bed.until(lambda: len(bed.lines) >= 200 * len(rows))
    follower.update([_ended(row) for row in rows])
    bed.until(lambda: follower.idle())
    for row in rows:
        assert bed.texts(container=row.id) == [f"{row.instance}-{number}" for number in range(200)]
    assert sum(node.connections for node in nodes) <= 12  # kept alive


def test_a_replacement_is_another_container(bed: Bed) -> None:
    node, other = bed.node(), bed.node()
    first, second = node.row(0), other.row(0, attempt=2)
    node.write(first.yarn, b"first\n")
    other.write(second.yarn, b"second\n")
    follower = bed.follow(first)
    bed.until(lambda: bed.lines)
    follower.update([_ended(first), second])
    bed.until(lambda: len(bed.lines) == 2)
    assert [str(line).partition(" ")[0] for line in bed.lines] == ["0", "0#2"]
    assert [(line.attempt, line.yarn) for line in bed.lines] == [(1, first.yarn), (2, second.yarn)]


def test_dead_hung_dripping_and_broken_nodes_hold_nobody_up(bed: Bed) -> None:
    """Four sick nodes and two threads more than that; what the healthy one writes comes at once."""
    good, hung, dripping, broken = (bed.node() for _ in range(4))
    dead = DeadNode()
    hung.hang, dripping.drip, broken.failing = True, 0.5, True
    rows = [node.row(rank) for rank, node in enumerate((good, hung, dripping, broken))]
    for row, node in zip(rows, (good, hung, dripping, broken), strict=True):
        node.write(row.yarn, b"0\n")
    nobody = dataclasses.replace(good.row(7), node_http=dead.address)
    refused = dataclasses.replace(good.row(8), node_http="127.0.0.1:1")
    follower = bed.follow(*rows, nobody, refused, threads=8)
    try:
        for number in range(1, 6):
            begun = time.monotonic()
            good.write(rows[0].yarn, b"%d\n" % number)
            bed.until(lambda number=number: str(number) in bed.texts(container="main_0"))
            assert time.monotonic() - begun < 2.0  # the hung node is waited for 2.5 s
        bed.until(lambda: any("main_8" in line.container for line in bed.lines if line.stream == "knit"))
        bed.until(lambda: any("main_7" in line.container for line in bed.lines if line.stream == "knit"))
        bed.until(lambda: any("cannot be read now" in text for text in bed.texts("knit", "main_3")))
        said = bed.texts("knit", "main_8")
        assert said == ["[knit: its node cannot be reached (http://127.0.0.1:1); its lines come after the end]"]
        broken.failing = False
        bed.until(lambda: bed.texts(container="main_3") == ["0"])
        assert set(follower.failures) >= {nobody.yarn, refused.yarn}
    finally:
        dead.close()


@pytest.mark.parametrize(
    "unknown",
    [
        (404, b"NotFoundException: Unknown container"),
        # Hadoop 3.4 and 3.5, for a container that has not started
        (503, b'{"RemoteException": {"exception": "WebApplicationException", "message": "NotFoundException: Unknown container"}}'),
        (503, b'{"RemoteException": {"exception": "NotFoundException", "message": "HTTP 404 Not Found"}}'),
        (503, b"HTTP 404 Not Found"),
    ],
)  # fmt: skip
def test_a_container_that_has_not_started_is_waited_for_without_a_word(bed: Bed, unknown: tuple[int, bytes]) -> None:
    node = bed.node()
    node.unknown = unknown
    row = node.row(0)
    bed.follow(row)
    bed.until(lambda: len(node.asked) >= 2)
    assert not bed.lines
    node.write(row.yarn, b"one\n")
    bed.until(lambda: bed.texts())
    assert [(line.stream, line.text) for line in bed.lines] == [("stdout", "one")]


def test_a_node_that_comes_back_goes_on_where_it_stood(bed: Bed) -> None:
    node = bed.node()
    row = node.row(0)
    node.write(row.yarn, b"one\n")
    bed.follow(row)
    bed.until(lambda: bed.texts() == ["one"])
    node.failing = True
    node.write(row.yarn, b"two\n")
    bed.until(lambda: bed.texts("knit"))
    node.failing = False
    bed.until(lambda: bed.texts() == ["one", "two"])


@pytest.mark.long
def test_idle_containers_are_asked_more_and_more_rarely(bed: Bed) -> None:
    node = bed.node()
    row = node.row(0)
    node.logs[row.yarn] = {"stdout": b"", "stderr": b""}
    bed.follow(row)
    bed.until(lambda: len(node.asked) >= 9)
    begun, count = time.monotonic(), len(node.asked)
    bed.until(lambda: len(node.asked) >= count + 2)
    assert time.monotonic() - begun > 0.4  # by now every half second
    assert not [path for path in node.asked if "/logs/" in path]  # nothing to read: nothing is read


def test_an_ended_container_is_read_to_its_end_and_left_alone(bed: Bed) -> None:
    node = bed.node()
    row = node.row(0)
    node.write(row.yarn, b"a\nlast words")
    follower = bed.follow(row)
    bed.until(lambda: bed.texts() == ["a"])
    follower.update([_ended(row)])
    bed.until(lambda: bed.texts() == ["a", "last words"])
    bed.until(follower.idle)
    assert follower.unread() == []


def test_a_line_too_long_to_hold_comes_in_pieces(bed: Bed) -> None:
    node = bed.node()
    row = node.row(0)
    long = ("€" * LONGEST).encode()  # three times the longest
    node.write(row.yarn, b"short\n" + long + b"\nshort\n")
    lines = bed.look(_ended(row))
    assert (lines[0].text, lines[-1].text) == ("short", "short")
    assert [line.ended for line in lines] == [True, *[False] * (len(lines) - 3), True, True]
    assert "".join(line.text for line in lines[1:-1]) == "€" * LONGEST
    assert bed.cursor.at(row.yarn, "stdout") == len(node.logs[row.yarn]["stdout"])


@pytest.mark.parametrize(
    ("count", "shown"), [(0, []), (1, ["three"]), (2, ["two", "three"]), (9, ["one", "two", "three"])]
)
def test_the_last_lines(bed: Bed, count: int, shown: list[str]) -> None:
    node = bed.node()
    row = node.row(0)
    node.write(row.yarn, b"one\ntwo\nthree\n")
    assert [line.text for line in bed.look(row, selection=Selection.of(tail=count))] == shown
    node.write(row.yarn, b"four\n")
    assert [line.text for line in bed.look(row)] == ["four"]


def test_the_last_lines_of_a_large_log_cost_no_more_than_those(bed: Bed) -> None:
    node = bed.node()
    row = node.row(0)
    node.write(row.yarn, b"".join(b"line %d of very many\n" % n for n in range(200_000)) + b"unfinished")
    lines = bed.look(_ended(row), selection=Selection.of(tail=3))
    assert [line.text for line in lines] == ["line 199998 of very many", "line 199999 of very many", "unfinished"]
    sizes = [int(path.rpartition("size=")[2].partition("&")[0]) for path in node.asked if "size=" in path]
    assert min(sizes) > -200_000


def test_a_truncated_file_is_said_and_read_anew(bed: Bed) -> None:
    node = bed.node()
    row = node.row(0)
    node.write(row.yarn, b"one\ntwo\n")
    bed.follow(row)
    bed.until(lambda: bed.texts() == ["one", "two"])
    node.logs[row.yarn]["stdout"] = b"new\n"
    bed.until(lambda: bed.texts() == ["one", "two", "new"])
    assert "truncated or replaced" in bed.texts("knit")[0]
    assert bed.cursor.at(row.yarn, "stdout") == 4


def test_a_file_replaced_by_a_longer_one_is_noticed(bed: Bed) -> None:
    node = bed.node()
    row = node.row(0)
    node.write(row.yarn, b"old 1\nold 2\n")
    bed.follow(row)
    bed.until(lambda: bed.texts() == ["old 1", "old 2"])
    node.logs[row.yarn]["stdout"] = b"".join(b"new %d\n" % n for n in range(9))
    bed.until(lambda: bed.texts()[2:] == [f"new {n}" for n in range(9)])


class TestUploads:
    """Rolling aggregation: files are uploaded, deleted, made anew, or left where they are."""

    @pytest.fixture
    def rolling(self, bed: Bed) -> tuple[Bed, Node, Container]:
        bed.uploads.possible = True
        node = bed.node()
        row = node.row(0)
        node.logs[row.yarn] = {"stdout": b""}
        return bed, node, row

    def _upload(self, node: Node, row: Container, delete: bool) -> None:
        data = node.logs[row.yarn]["stdout"]
        node.uploaded.setdefault(row.yarn, {}).setdefault("stdout", []).append(data)
        if delete:
            del node.logs[row.yarn]["stdout"]

    @pytest.mark.parametrize("delete", [True, False])
    @pytest.mark.parametrize("lag", [0, 3])
    def test_followed_across_uploads(self, rolling: tuple[Bed, Node, Container], delete: bool, lag: int) -> None:
        bed, node, row = rolling
        bed.follow(row)
        expected: list[str] = []

        def all_there() -> bool:
            return bed.texts() == expected

        for part in range(4):
            node.write(row.yarn, b"".join(b"part %d line %d\n" % (part, n) for n in range(3)))
            expected += [f"part {part} line {n}" for n in range(3)]
            if part == 2:
                bed.until(all_there)
                node.write(row.yarn, b"seen by nobody before it is gone\n")
                expected.append("seen by nobody before it is gone")
            bed.uploads.lag = lag
            self._upload(node, row, delete)
        bed.until(all_there)
        assert bed.texts("knit") == []

    @pytest.mark.parametrize("delete", [True, False])
    def test_whoever_comes_later_reads_it_all_and_goes_on(
        self, rolling: tuple[Bed, Node, Container], delete: bool
    ) -> None:
        bed, node, row = rolling
        found = []
        for part in range(5):
            node.write(row.yarn, b"part %d\nof a line " % part)
            self._upload(node, row, delete)
            node.write(row.yarn, b"that goes on\n")
            found += [line.text for line in bed.look(row)]
            bed.cursor = LogCursor.load(json.loads(json.dumps(bed.cursor.dump())))
        assert found == [text for part in range(5) for text in (f"part {part}", "of a line that goes on")]

    def test_uploaded_and_made_anew_between_look_and_read(self, rolling: tuple[Bed, Node, Container]) -> None:
        """The file that is read is another than the one whose size was told, and longer: nothing is lost or mixed up."""
        bed, node, row = rolling
        node.write(row.yarn, b"old 1\nold 2\n")
        bed.follow(row)
        bed.until(lambda: bed.texts() == ["old 1", "old 2"])
        swapped = threading.Event()

        def swap(_container: str, _name: str) -> None:
            if not swapped.is_set():
                swapped.set()
                self._upload(node, row, True)
                node.write(row.yarn, b"old 1\nold 2\nnew 3\n" * 2)  # begins alike, which the bytes alone cannot tell

        node.before_file = swap
        node.write(row.yarn, b"old 3\n")
        bed.until(lambda: len(bed.texts()) >= 9)
        assert bed.texts() == ["old 1", "old 2", "old 3", *["old 1", "old 2", "new 3"] * 2]

    def test_read_beyond_what_was_uploaded_before_the_deletion(self, rolling: tuple[Bed, Node, Container]) -> None:
        """What the node deleted without uploading it was shown; the file made anew begins behind what was uploaded."""
        bed, node, row = rolling
        node.write(row.yarn, b"uploaded\n")
        bed.follow(row)
        bed.until(lambda: bed.texts() == ["uploaded"])
        node.uploaded[row.yarn] = {"stdout": [b"uploaded\n"]}
        node.write(row.yarn, b"not uploaded\n")
        bed.until(lambda: bed.texts() == ["uploaded", "not uploaded"])
        node.logs[row.yarn]["stdout"] = b"anew\n"
        bed.until(lambda: bed.texts() == ["uploaded", "not uploaded", "anew"])
        assert bed.cursor.at(row.yarn, "stdout") == len(b"uploaded\nanew\n")

    def test_a_program_that_writes_to_nowhere_is_told_of(
        self, rolling: tuple[Bed, Node, Container], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("knit_core.logs.live.follow_container._MISSED", 0.5)
        bed, node, row = rolling
        node.write(row.yarn, b"one\n")
        bed.follow(row)
        bed.until(lambda: bed.texts() == ["one"])
        self._upload(node, row, True)
        bed.until(lambda: bed.texts("knit"))
        assert "YARN has moved its stdout to HDFS and deleted the file" in bed.texts("knit")[0]

    def test_a_container_that_ended_and_was_uploaded(self, rolling: tuple[Bed, Node, Container]) -> None:
        bed, node, row = rolling
        node.write(row.yarn, b"one\nthe end")
        self._upload(node, row, True)
        assert [line.text for line in bed.look(_ended(row))] == ["one", "the end"]


def test_what_was_uploaded_is_not_taken_for_the_file(bed: Bed) -> None:
    """An empty file's reply holds what was uploaded before, with a header of its own."""
    node = bed.node()
    row = node.row(0)
    node.logs[row.yarn] = {"stdout": b"", "stderr": b"e\n"}
    node.uploaded[row.yarn] = {"stderr": [b"e\n"], "stdout": [b"LogLength:3\nLogContents:\nabc"]}
    assert sorted(line.text for line in bed.look(_ended(row))) == ["LogContents:", "LogLength:3", "abc", "e"]


def test_a_slow_taker_bounds_what_is_held(bed: Bed) -> None:
    node = bed.node()
    row = node.row(0)
    node.write(row.yarn, (b"x" * 99 + b"\n") * 400_000)
    follower = bed.follower()
    follower.update([row])
    deadline = time.monotonic() + 20
    while follower.channel._held < 1 << 24:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)  # it could take more, if it were wrong
    assert follower.channel._held < (1 << 24) + (1 << 20)
    taken = 0
    while taken < len(node.logs[row.yarn]["stdout"]):
        assert time.monotonic() < deadline
        block = follower.channel.get(1)
        taken += len(block.data) if block else 0
    assert taken == len(node.logs[row.yarn]["stdout"])


def test_a_channel_that_is_closed_gives_what_it_has() -> None:
    channel = Channel(10)
    row = Container("main_0", "main", 0, 1, ContainerState.RUNNING)
    assert channel.put(Block(row, "stdout", 0, b"12345678901"))
    done = []
    waiting = threading.Thread(target=lambda: done.append(channel.put(Block(row, "stdout", 11, b"x"))))
    waiting.start()
    channel.close()
    waiting.join(10)
    assert done == [False]
    first = channel.get(0)
    assert first is not None
    assert first.data == b"12345678901"
    assert channel.get(0) is None
    assert not channel.put(first)


class _Growing(dict):  # type: ignore[type-arg]
    """A node's containers; while somebody goes through them another thread adds one, if nothing hinders it."""

    grow = staticmethod(lambda: None)

    def values(self) -> Iterator[object]:  # type: ignore[override]
        for value in super().values():
            self.grow()
            yield value


@pytest.mark.long
def test_a_container_that_begins_while_its_node_is_away_ends_no_stream(bed: Bed) -> None:
    node = bed.node()
    first, second = node.row(0), node.row(1)
    node.write(first.yarn, b"one\n")
    follower = bed.follow(first)
    bed.until(lambda: bed.texts() == ["one"])
    grown: list[threading.Thread] = []

    def grow() -> None:
        if not grown and any(frame.name == "_unreachable" for frame in traceback.extract_stack()):
            grown.append(threading.Thread(target=follower.update, args=([second],)))
            grown[0].start()
            grown[0].join(0.3)

    with follower._changed:
        found = follower._nodes[first.node_http]
        found.targets = growing = _Growing(found.targets)
    hanging = bed.node()
    for reader in (target.reader for target in dict.values(growing)):
        reader._node._base = f"http://{hanging.address}"
    hanging.hang = True
    growing.grow = grow  # type: ignore[method-assign]
    bed.until(lambda: grown and not grown[0].is_alive())
    for reader in (target.reader for target in dict.values(growing)):
        reader._node._base = f"http://{node.address}"
    node.write(first.yarn, b"two\n")
    node.write(second.yarn, b"other\n")
    bed.until(lambda: sorted(bed.texts()) == ["one", "other", "two"])
    assert follower.crash is None


def test_a_look_at_what_is_there_waits_less_for_a_node_that_does_not_answer(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knit_core.logs.live.nodemanager._SHORT_TIMEOUT", (0.3, 0.3))
    node = bed.node()
    node.hang = True
    begun = time.monotonic()
    found = bed.look(node.row(0), short=True)
    assert time.monotonic() - begun < 2.4  # it is 2.5 s otherwise
    assert [line.stream for line in found] == ["knit"]
