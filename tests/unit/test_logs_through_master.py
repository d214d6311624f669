"""Logs of nodes that this machine cannot reach, through an ApplicationMaster that can."""

from __future__ import annotations

import dataclasses
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from knit_container.signing import sign
from knit_core.errors import (
    ConnectionFailed,
    LogsUnavailable,
    MasterUnreachable,
    NotAuthorized,
    NotFound,
    RequestRefused,
    ServiceUnavailable,
    StagingError,
)
from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.logs import LogWatch, Selection, log_files
from knit_core.logs.live import through_master
from knit_core.logs.live.nodemanager import NodeListing
from knit_core.logs.live.routes import NodeUnreachable, NoSuchRoute, Routes, unreachable
from knit_core.logs.live.through_master import MasterRoute
from knit_core.model.result import Container
from knit_core.model.states import ContainerState, State
from tests.simulated_clock import SimulatedClock
from tests.unit.follow_harness import Bed
from tests.unit.node_harness import Node, http_service
from tests.unit.test_master import ID, REPORT


def _refusal(status: int, code: str, message: str) -> RequestRefused:
    kind = NotFound if status == 404 else RequestRefused
    return kind(f"refused: {message}", status=status, reply={"error": code, "message": message})


OLDER = _refusal(404, "unknown-path", "there is no such path")
BUSY = _refusal(429, "busy", "as many as it can")
AWAY = _refusal(409, "node-unreachable", "the NodeManager at n:8042 does not answer: connection refused")
KERBEROS = _refusal(409, "node-refused", "the NodeManager at n:8042 asks for a Kerberos ticket (401)")


class Master:
    """An ApplicationMaster's two calls, which reach every node.

    Attributes:
        calls: in order.
        errors: raised one after another; the last one remains.
        limit: bytes of a reply.
        most: calls at a time.
        pause: seconds of each call.
        before: called before a file is read.
    """

    def __init__(self, *nodes: Node) -> None:
        self.nodes, self.calls, self.limit, self.pause = list(nodes), [], 1 << 17, 0.0  # type: ignore[var-annotated]
        self.errors: list[Exception | None] = []
        self.before: Callable[[], None] = lambda: None
        self.most = self._now = 0
        self._lock = threading.Lock()

    def log_files(self, container: str) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
        with self._call(f"list {container}"):
            node = self._node(container)
            uploaded = node.uploaded.get(container, {})
            return (
                {name: len(data) for name, data in node.logs[container].items()},
                {name: tuple(len(part) for part in parts) for name, parts in uploaded.items()},
            )

    def read_log(self, container: str, name: str, offset: int, size: int) -> tuple[bytes, int]:
        with self._call(f"read {container} {name} {offset}"):
            self.before()
            data = self._node(container).logs[container].get(name, b"")
            return data[offset : offset + self.limit], len(data)

    def _node(self, container: str) -> Node:
        for node in self.nodes:
            if container in node.logs:
                return node
        raise _refusal(404, "no-logs", "unknown")

    def _call(self, text: str) -> closing[Any]:
        with self._lock:
            self.calls.append(text)
            self._now += 1
            self.most = max(self.most, self._now)
            error = self.errors[0] if self.errors else None
            if len(self.errors) > 1:
                self.errors.pop(0)
        time.sleep(self.pause)

        def done() -> None:
            with self._lock:
                self._now -= 1

        if error is not None:
            done()
            raise error
        return closing(SimpleNamespace(close=done))


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bed]:
    for name, value in (("SOONEST", 0.05), ("LATEST", 0.3), ("_GRACE", 0.3)):
        monkeypatch.setattr(f"knit_core.logs.live.follow_nodes.{name}", value)
    monkeypatch.setattr(through_master, "_BUSY_PAUSE", 0.02)
    made = Bed()
    yield made
    made.stop()
    for node in made.nodes:
        node.close()


def _closed() -> str:
    """An address that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def _through(bed: Bed, master: Master, away: dict[str, float] | None = None) -> Master:
    bed.routes = Routes([MasterRoute(lambda: master)], {} if away is None else away)  # type: ignore[arg-type, return-value]
    return master


def _hidden(row: Container) -> Container:
    """The same on an address that cannot be reached."""
    return dataclasses.replace(row, node_http=_closed())


def _ended(row: Container) -> Container:
    return dataclasses.replace(row, state=ContainerState.SUCCEEDED)


def test_a_look_at_a_node_that_cannot_be_reached(bed: Bed) -> None:
    node = bed.node()
    master, row = _through(bed, Master(node)), _hidden(node.row(0))
    node.write(row.yarn, b"one\ntwo\nthr")
    node.write(row.yarn, b"err\n", "stderr")
    assert [(line.stream, line.text) for line in bed.look(row)] == [
        ("stdout", "one"),
        ("stdout", "two"),
        ("stderr", "err"),
    ]
    node.write(row.yarn, b"ee\n")
    assert [line.text for line in bed.look(row)] == ["three"]
    assert node.asked == []
    assert master.calls[0] == f"list {row.yarn}"


def test_a_node_that_is_reached_is_asked_itself(bed: Bed) -> None:
    node = bed.node()
    master, row = _through(bed, Master(node)), node.row(0)
    node.write(row.yarn, b"one\n")
    assert [line.text for line in bed.look(row)] == ["one"]
    node.unknown, node.logs = (403, b"User [bob] is not authorized"), {}
    (remark,) = bed.look(row)
    assert remark.text.startswith("[knit: its logs cannot be read now")
    node.failing = True
    assert "500" in bed.look(row)[0].text
    assert master.calls == []


@pytest.mark.parametrize("limit", [1, 7, 1 << 17])
def test_followed_to_the_end_nothing_twice_and_nothing_lost(bed: Bed, limit: int) -> None:
    nodes = [bed.node() for _ in range(3)]
    master = _through(bed, Master(*nodes))
    master.limit = limit
    rows = [_hidden(node.row(rank)) for rank, node in enumerate(nodes)]
    rows.append(dataclasses.replace(nodes[0].row(3), node_http=rows[0].node_http))
    noise = random.Random(limit)
    written: dict[str, bytes] = {row.yarn: b"" for row in rows}
    follower = bed.follow(*rows, threads=2)
    for number in range(40):
        for row in rows:
            data = b"".join(b"%d-%d-%d\n" % (row.instance, number, n) for n in range(noise.randrange(4)))
            written[row.yarn] += data
            nodes[row.instance % 3].write(row.yarn, data)
        time.sleep(0.005)
    follower.update([_ended(row) for row in rows])
    bed.until(lambda: follower.idle(), 60)
    bed.stop()
    for row in rows:
        assert bed.texts(container=row.id) == written[row.yarn].decode().splitlines()
        assert bed.cursor.at(row.yarn, "stdout") == len(written[row.yarn])
    assert bed.texts("knit") == []
    assert sum(node.connections for node in nodes) == 0


def test_the_last_lines_and_a_long_log(bed: Bed) -> None:
    node = bed.node()
    _through(bed, Master(node))
    row = _hidden(node.row(0))
    node.write(row.yarn, b"".join(b"line %d\n" % number for number in range(100_000)))
    lines = bed.look(row, selection=Selection.of(tail=2))
    assert [line.text for line in lines] == ["line 99998", "line 99999"]
    other = Bed()
    _through(other, Master(node))
    assert [line.text for line in other.look(row)] == [f"line {number}" for number in range(100_000)]


def test_it_goes_on_when_the_way_closes_and_opens(bed: Bed) -> None:
    """The node, then the ApplicationMaster, then the node again."""
    node = bed.node()
    master, row = _through(bed, Master(node)), node.row(0)
    node.write(row.yarn, b"first\n")
    bed.follow(row)
    bed.until(lambda: bed.texts() == ["first"])
    node.hang = True  # the open connection is not answered
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr("knit_core.logs.live.nodemanager.NodeLogs._get", _no_answer)
        node.write(row.yarn, b"second\n")
        bed.until(lambda: bed.texts() == ["first", "second"])
        assert master.calls
    node._over.set()
    node.hang = False
    master.errors = [MasterUnreachable(ID, ["it restarts"])]
    node.write(row.yarn, b"third\n")
    bed.until(lambda: bed.texts() == ["first", "second", "third"])
    assert bed.texts("knit") == []


def _no_answer(self: Any, _path: str, _action: str, *_more: Any) -> Any:
    raise ConnectionFailed("no answer", address=self._base)


@pytest.mark.parametrize("delete", [True, False])
def test_uploads_while_it_is_read_through_the_master(bed: Bed, delete: bool) -> None:
    """The file is replaced in the middle of a read."""
    bed.uploads.possible = True
    node = bed.node()
    master, row = _through(bed, Master(node)), _hidden(node.row(0))
    master.limit = 5
    node.write(row.yarn, b"old 1\nold 2\n")
    bed.follow(row)
    bed.until(lambda: bed.texts() == ["old 1", "old 2"])
    reads = 0

    def swap() -> None:
        nonlocal reads
        reads += 1
        if reads == 2:
            data = node.logs[row.yarn]["stdout"]
            node.uploaded.setdefault(row.yarn, {}).setdefault("stdout", []).append(data)
            if delete:
                node.logs[row.yarn]["stdout"] = b"new 1\nnew 2\n"
            else:
                node.write(row.yarn, b"new 1\nnew 2\n")

    master.before = swap
    node.write(row.yarn, b"old 3\nold 4\nold 5\n")
    expected = [*(f"old {number}" for number in range(1, 6)), "new 1", "new 2"]
    bed.until(lambda: len(bed.texts()) >= len(expected))
    assert bed.texts() == expected


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AWAY, "the NodeManager at n:8042 does not answer: connection refused"),
        (KERBEROS, "the NodeManager at n:8042 asks for a Kerberos ticket (401)"),
        (MasterUnreachable(ID, ["directly at n:1: no connection"]), f"The ApplicationMaster of {ID} cannot be reached"),
        (NotAuthorized("401: it has another secret", status=401, reply=None), "it has another secret"),
        (ServiceUnavailable("it is starting"), "it is starting"),
        (StagingError("There is no key at /user/bob"), "There is no key at /user/bob"),
        (BUSY, "it reads as many logs as it can"),
    ],
)
def test_the_reason_of_the_master_is_told_once(bed: Bed, error: Exception, reason: str) -> None:
    node = bed.node()
    master, row = _through(bed, Master(node)), _hidden(node.row(0))
    node.write(row.yarn, b"one\n")
    master.errors = [error]
    bed.follow(row)
    bed.until(lambda: bed.texts("knit"))
    time.sleep(0.5)
    (text,) = bed.texts("knit")
    assert text.startswith(
        f"[knit: its node cannot be reached (http://{row.node_http}), nor can its logs be read through the"
    )
    assert reason in text
    assert text.endswith("); its lines come after the end]")
    master.errors = []
    bed.until(lambda: bed.texts() == ["one"], 60)


def test_an_older_master_is_asked_once(bed: Bed) -> None:
    nodes = [bed.node(), bed.node()]
    master = _through(bed, Master(*nodes))
    master.errors = [OLDER]
    rows = [_hidden(node.row(rank)) for rank, node in enumerate(nodes)]
    bed.follow(*rows, threads=1)
    bed.until(lambda: len(bed.texts("knit")) == 2)
    time.sleep(1.0)
    assert sorted(bed.texts("knit")) == sorted(
        f"[knit: its node cannot be reached (http://{row.node_http}); its lines come after the end]" for row in rows
    )
    assert len(master.calls) == 1


def test_a_busy_master_is_asked_again(bed: Bed) -> None:
    node = bed.node()
    master, row = _through(bed, Master(node)), _hidden(node.row(0))
    node.write(row.yarn, b"one\n")
    master.errors = [BUSY, BUSY, None]
    assert [line.text for line in bed.look(row)] == ["one"]


def test_a_container_without_logs_holds_up_no_other_of_its_node(bed: Bed) -> None:
    node = bed.node()
    _through(bed, Master(node))
    one = _hidden(node.row(0))
    two = dataclasses.replace(node.row(1), node_http=one.node_http)
    node.write(two.yarn, b"two\n")
    bed.follow(one, two)
    bed.until(lambda: bed.texts() == ["two"])
    node.write(one.yarn, b"one\n")
    bed.until(lambda: bed.texts() == ["two", "one"])
    assert bed.texts("knit") == []


def test_many_nodes_do_not_flood_the_master(bed: Bed) -> None:
    nodes = [bed.node() for _ in range(20)]
    master = _through(bed, Master(*nodes))
    master.pause = 0.01
    rows = [_hidden(node.row(rank)) for rank, node in enumerate(nodes)]
    for node, row in zip(nodes, rows, strict=True):
        node.write(row.yarn, b"%d\n" % row.instance)
    bed.follow(*rows, threads=20)
    bed.until(lambda: len(bed.texts()) == 20)
    assert sorted(bed.texts(), key=int) == [str(number) for number in range(20)]
    assert master.most == 3


class _Way:
    """A source with a list of its answers; the last one remains."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), 0

    def listing(self, container: str) -> NodeListing:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return NodeListing({str(answer): 1}, {})

    def read(self, container: str, stream: str, start: int, size: int) -> Iterator[bytes]:
        return iter([str(self.answers[0]).encode()])

    beginning = read  # type: ignore[assignment]

    def close(self) -> None:
        self.answers = ["closed"]


def test_the_way_is_chosen_once_and_remembered() -> None:
    """Also by later readers, for five minutes."""
    clock, away = SimulatedClock(), {}  # type: ignore[var-annotated]
    gone = ConnectionFailed("gone", address="http://n:1")
    direct, gateway, master = _Way(gone), _Way(NoSuchRoute("")), _Way("master")
    routes = Routes([lambda _: gateway, lambda _: master], away, clock)  # type: ignore[list-item, return-value]
    logs = routes.to("n:1", direct)  # type: ignore[arg-type]
    for _ in range(50):
        assert logs.listing("c").sizes == {"master": 1}
    assert (direct.asked, gateway.asked, master.asked) == (1, 1, 50)
    assert list(logs.read("c", "stdout", 0, 1)) == [b"master"]
    later = routes.to("n:1", direct)  # type: ignore[arg-type]
    assert later.listing("c").sizes == {"master": 1}
    assert direct.asked == 1
    clock.sleep(301.0)
    direct.answers = ["direct"]
    assert routes.to("n:1", direct).listing("c").sizes == {"direct": 1}  # type: ignore[arg-type]
    assert away == {}
    master.answers = [gone, "master"]
    assert logs.listing("c").sizes == {"direct": 1}  # the chosen one fails: all are tried from the first on
    direct.answers = [NotFound("no container")]
    with pytest.raises(NotFound):
        logs.listing("c")
    logs.close()
    assert master.answers == direct.answers == ["closed"]


def test_a_way_that_answers_with_a_refusal_is_chosen_too() -> None:
    """Else a node that does not answer would be waited for at each look at a container that has not started."""
    direct = _Way(ConnectionFailed("gone", address="http://n:1"))
    master = _Way(NotFound("not started"), NotFound("not started"), "master")
    logs = Routes([lambda _: master], {}).to("n:1", direct)  # type: ignore[arg-type, list-item, return-value]
    for _ in range(2):
        with pytest.raises(NotFound):
            logs.listing("c")
    assert logs.listing("c").sizes == {"master": 1}
    assert (direct.asked, master.asked) == (1, 3)


def test_all_ways_that_fail_are_told() -> None:
    direct = _Way(ConnectionFailed("no answer from http://n:1", address="http://n:1"))
    one, two = _Way(ConnectionFailed("through the gateway (403)")), _Way(ConnectionFailed("through x (y)"))
    with pytest.raises(NodeUnreachable) as told:
        Routes([lambda _: one, lambda _: two], {}).to("n:1", direct).listing("c")  # type: ignore[arg-type, list-item, return-value]
    assert str(told.value) == (
        "no answer from http://n:1; nor could its logs be read through the gateway (403); "
        "nor could its logs be read through x (y)"
    )
    assert unreachable(told.value) == (
        "its node cannot be reached (http://n:1), nor can its logs be read through the gateway (403), nor through x (y)"
    )


def _application(row: Container, master: Master) -> Any:
    config = SimpleNamespace(cluster_property=lambda name, default: default, user="alice")
    cluster = SimpleNamespace(clock=time, nodes=http_service(), hdfs=None, config=config, away_nodes={})
    return SimpleNamespace(
        id=ID,
        cluster=cluster,
        master=master,
        containers=lambda **_: [row],
        report=lambda: dataclasses.replace(REPORT, state=State.RUNNING),
    )


def test_a_watch_without_threads_and_whole_files_come_that_way_too(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """`LogWatch` is what Airflow's task log reads with."""
    node = bed.node()
    master, row = Master(node), _hidden(node.row(0))
    node.write(row.yarn, b"one\ntwo\n")
    application = _application(row, master)
    watch = LogWatch(application)
    assert [line.text for line in watch.look()] == ["one", "two"]
    (file,) = log_files(application, Selection.of(), 1.0)
    assert b"".join(file) == b"one\ntwo\n"
    master.errors = [AWAY]
    with pytest.raises(LogsUnavailable, match="through the ApplicationMaster") as told:
        list(log_files(application, Selection.of(), 1.0))
    assert told.value.reason == "unreachable"
    monkeypatch.setattr("knit_core.logs.live.poll._SOONEST_UNREACHABLE", 0.05)
    said: list[str] = []
    bed.until(lambda: said.extend(line.text for line in watch.look()) or said)
    assert "nor can its logs be read through the ApplicationMaster (the NodeManager at n:8042" in said[0]
    watch.close()


def test_the_calls_on_the_wire() -> None:
    """docs/protocol.md, section 5: what the ResourceManager's proxy does not change, and no retries."""
    calls = []

    class Client(ApplicationMasterClient):
        def call(self, method: str, path: str, body: Any = None, query: Any = None, *more: Any) -> Any:
            sign(b"k", "client", 1, method, f"/api/v1{path}", query or {})  # refuses what the proxy would change
            calls.append((method, path, body, query, *more))
            if path.endswith("/logs"):
                return {"files": {"stdout": 3}, "uploaded": {"stdout": [1, 2]}}
            return {"offset": 7, "size": 9, "data": "_-8"}

    client: Any = Client(ID, bytes, lambda: REPORT, None, None, None)  # type: ignore[arg-type]
    assert client.log_files("container_1_0001_01_000002") == ({"stdout": 3}, {"stdout": (1, 2)})
    assert client.read_log("main_0", "ä/ö?", 7, 8) == (b"\xff\xef", 9)
    assert calls == [
        ("GET", "/containers/container_1_0001_01_000002/logs", None, None, 0.0, 0),
        ("GET", "/containers/main_0/logs/w6Qvw7Y_", None, {"offset": "7", "size": "8"}, 0.0, 0),
    ]
