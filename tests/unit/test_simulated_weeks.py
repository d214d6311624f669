"""A simulated week of following logs, of Dask's waits, of waits inside containers and of those for local processes.

As in test_client_clock: what lasts as long as it should, costs the same each time and remembers nothing more.
"""

from __future__ import annotations

import io
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import knit_container
from knit.yarn_api import YARNAPI
from knit_container import context, readiness
from knit_container import hdfs as container_hdfs
from knit_core.dask_yarn.following import Follower as SchedulerFollower
from knit_core.dask_yarn.launching import wait_for_scheduler
from knit_core.environments.prune import prune_local
from knit_core.errors import ApplicationNotFound, ConnectionFailed, LogsUnavailable, MasterUnreachable, WaitTimeout
from knit_core.local import ports, processes
from knit_core.logs import LogWatch, Selection
from knit_core.logs.aggregated.folders import Listing
from knit_core.logs.aggregated.log_files import AggregatedLogs
from knit_core.logs.aggregated.read_aggregated import EndedLogs, Expected
from knit_core.logs.lines import LogCursor
from knit_core.logs.live.follow_application import RunningUploads, Watcher
from knit_core.logs.live.follow_nodes import Follower
from knit_core.model.clock import pause
from knit_core.model.report import ApplicationReport
from knit_core.model.result import Container, Outcome, Result
from knit_core.model.states import ContainerState, State
from tests.simulated_clock import SimulatedClock
from tests.unit.follow_harness import Uploads
from tests.unit.node_harness import http_service
from tests.unit.test_master import ID, REPORT

HOUR, DAY = 3600.0, 86_400.0
WEEK = 7 * DAY
ROW = Container(
    "main_0",
    "main",
    0,
    1,
    ContainerState.RUNNING,
    "container_1_0001_01_000002",
    node="n:1",
    node_http="127.0.0.1:1",
    started_at=1,
)
ENDED = replace(REPORT, state=State.FINISHED, outcome=Outcome.SUCCEEDED, type="KNIT")
RUNS = replace(REPORT, state=State.RUNNING, type="KNIT")


class Application:
    """One whose report and containers are as a test says; each look takes five seconds."""

    def __init__(self) -> None:
        self.id, self.looks, self.told = ID, 0, RUNS
        self.clock = SimulatedClock()
        self.begun = self.clock.now
        config = SimpleNamespace(
            cluster_property=lambda name, default: default, on_hdfs=lambda path: path, user="alice"
        )
        self.cluster = SimpleNamespace(clock=self.clock, nodes=http_service(), hdfs=None, config=config, away_nodes={})
        self.cluster.resourcemanager = SimpleNamespace(nodes=lambda states: [], address="http://rm")
        self.master = SimpleNamespace(log_files=self._no_master)

    @staticmethod
    def _no_master(_container: str) -> None:
        raise MasterUnreachable(ID, ["it has no address"])

    @property
    def passed(self) -> float:
        return self.clock.now - self.begun

    def report(self) -> ApplicationReport:
        self.looks += 1
        self.clock.now += 5.0
        if self.passed >= WEEK:
            return ENDED
        return self.told

    def containers(self, **_options: Any) -> list[Container]:
        return [ROW]


def _of(app: Application) -> Any:
    return app


# -- logs ------------------------------------------------------------------


def test_containers_are_watched_and_faults_of_the_resourcemanager_forgiven() -> None:
    app, updates = Application(), 0

    def update(rows: list[Container]) -> bool:
        nonlocal updates
        updates += 1
        return False

    follower: Any = SimpleNamespace(update=update, close=lambda: None, channel=SimpleNamespace(put=lambda block: True))
    away = [(DAY, DAY + 280.0, ConnectionFailed("away")), (2 * DAY, 2 * DAY + 14.0, ApplicationNotFound("new here"))]
    report = app.report

    def faulty() -> ApplicationReport:
        found = report()
        for begins, ends, error in away:
            if begins <= app.passed < ends:
                raise error
        return found

    app.report = faulty  # type: ignore[method-assign]
    watcher = Watcher(_of(app), follower, Selection.of())
    watcher._watch()
    assert (watcher.error, watcher.report, watcher.ended) == (None, ENDED, True)
    assert WEEK / 7.1 < updates < WEEK / 6.9  # each two seconds, and five for the look
    assert list(watcher.rows) == [ROW.yarn]
    for spans, longest in (
        ([(DAY, 3 * DAY, ConnectionFailed("away"))], 320.0),
        ([(DAY, 3 * DAY, ApplicationNotFound(""))], 30.0),
    ):
        app.clock.now, away[:] = app.begun, spans  # type: ignore[assignment]
        watcher = Watcher(_of(app), follower, Selection.of())
        watcher._watch()
        assert isinstance(watcher.error, ConnectionFailed) or (watcher.ended and watcher.report is None)
        assert DAY < app.passed < DAY + longest


def _follower(clock: SimulatedClock) -> Follower:
    """One whose threads are this one."""
    made = Follower(http_service(), "http", Uploads(), Selection.of(), LogCursor(), threads=0, clock=clock)
    made.update([ROW])
    return made


def _follow(follower: Follower, until: float) -> None:
    while follower._clock.monotonic() < until:
        node = follower._next()
        assert node is not None
        follower._poll_node(node)
        node.busy = False


@pytest.mark.parametrize(("answers", "least", "most"), [(False, 25.0, 35.0), (True, 1.9, 2.1)])
def test_a_silent_container_and_a_dead_node_are_asked_now_and_then(answers: bool, least: float, most: float) -> None:
    clock, looks = SimulatedClock(), 0
    span = 6 * HOUR if answers else WEEK
    follower = _follower(clock)

    def poll() -> int:
        nonlocal looks
        looks += 1
        if not answers:
            clock.now += 1.0
            raise ConnectionFailed("no route", address="http://n")
        return 0

    reader = follower._nodes[ROW.node_http].targets[ROW.yarn].reader
    reader.poll = poll  # type: ignore[method-assign]
    _follow(follower, clock.now + span)
    assert span / most < looks < span / least
    assert len(follower.failures) == (not answers)
    said = []
    while (block := follower.channel.get(0.0)) is not None:
        said.append(block)
    assert len(said) == (not answers)  # it is said once


def test_what_was_uploaded_is_looked_at_no_more_often_than_need_be() -> None:
    clock, looks = SimulatedClock(), 0

    def look() -> Listing:
        nonlocal looks
        looks += 1
        return Listing({}, {}, frozenset())

    logs: Any = SimpleNamespace(enabled=True, rolling=True, list_files=look, of_log=lambda *_some: None)
    uploads = RunningUploads(logs, clock)
    for _ in range(100_000):
        uploads._listing(0.5)
        clock.sleep(0.1)
    assert looks <= 100_000 / 5 + 1


def test_a_watch_of_a_dead_node_asks_it_once_a_minute() -> None:
    app, looks = Application(), 0
    watch = LogWatch(_of(app))
    list(watch.look())

    def poll() -> int:
        nonlocal looks
        looks += 1
        raise ConnectionFailed("no route", address="http://n")

    watch._targets[ROW.yarn].reader.poll = poll  # type: ignore[method-assign]
    while app.passed < DAY:
        list(watch.look())
        app.clock.sleep(10.0)
    assert DAY / 75 < looks < DAY / 55
    watch.close()


def test_what_is_not_on_hdfs_is_waited_for_as_long_as_was_said() -> None:
    app, looks = Application(), 0
    app.told = replace(ENDED, log_aggregation="RUNNING")
    result = Result(ID, Outcome.SUCCEEDED, containers=(replace(ROW, state=ContainerState.SUCCEEDED),), complete=True)

    def look() -> Listing:
        nonlocal looks
        looks += 1
        return Listing({}, {}, frozenset())

    app.report = lambda: app.told  # type: ignore[method-assign]
    logs: Any = SimpleNamespace(list_files=look, problems=[], packed=False)
    with pytest.raises(LogsUnavailable) as told:
        list(EndedLogs(_of(app), logs, Expected(result, {}, Selection.of()), HOUR).found())
    assert told.value.reason == "incomplete"
    assert HOUR <= app.passed < HOUR + 1
    assert looks < HOUR / 0.4


def test_a_read_of_hdfs_that_breaks_is_given_up_soon() -> None:
    app, tries = Application(), 0

    def stream(_path: str, **_options: Any) -> Iterator[bytes]:
        nonlocal tries
        tries += 1
        raise ConnectionFailed("broken")
        yield b""

    hdfs: Any = SimpleNamespace(stream=stream)
    logs = AggregatedLogs(hdfs, _of(app).cluster.config, ID, "alice", app.clock)
    with pytest.raises(ConnectionFailed):
        list(logs._fetch("/logs")(0, 10))
    assert (tries, app.passed) == (5, 0.2 * (2 + 4 + 8 + 16))


# -- Dask ------------------------------------------------------------------


def test_a_scheduler_is_waited_for() -> None:
    app = Application()

    def entry(_key: str) -> None:
        app.clock.now += 5.0

    app.kv = SimpleNamespace(entry=entry)  # type: ignore[attr-defined]
    app.wait_until_ready = lambda *_names, timeout: {}  # type: ignore[attr-defined]
    with pytest.raises(WaitTimeout, match="did not publish its address"):
        wait_for_scheduler(_of(app), WEEK)
    assert WEEK <= app.passed < WEEK + 10


def test_a_dask_application_is_followed_while_it_cannot_be_asked() -> None:
    app, calls, over = Application(), 0, threading.Event()

    def watch(*_some: Any, **_options: Any) -> Any:
        nonlocal calls
        calls += 1
        app.clock.now += 20.0
        raise ConnectionFailed("away")

    app.kv = SimpleNamespace(watch=watch)  # type: ignore[attr-defined]
    app.result = lambda: "its end" if app.passed >= WEEK else None  # type: ignore[attr-defined]
    ended: list[Any] = []
    SchedulerFollower(_of(app), 0, lambda _scheduler: None, lambda result: (ended.append(result), over.set()))  # type: ignore[arg-type, func-returns-value]
    assert over.wait(60)
    assert ended == ["its end"]
    assert calls == pytest.approx(WEEK / 21, rel=0.01)


# -- in containers ---------------------------------------------------------


def test_a_barrier_is_waited_at_in_long_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, polls, everybody = SimulatedClock(), 0, WEEK * 2
    begun = clock.now

    def call(_method: str, _path: str, _body: Any, query: dict[str, str], wait: float) -> dict[str, Any]:
        nonlocal polls
        polls += 1
        assert float(query["wait"]) == wait >= 1
        clock.now += wait
        return {"open": clock.now - begun >= everybody, "arrived": 1, "parties": 2}

    monkeypatch.setattr(context, "_call", call)
    with pytest.raises(TimeoutError, match="1 of 2 reached the barrier"):
        context._wait_for_barrier("epoch", None, WEEK, clock)
    assert WEEK <= clock.now - begun < WEEK + 2
    context._wait_for_barrier("epoch", None, None, clock)
    assert everybody <= clock.now - begun < everybody + 60
    assert polls < 2 * WEEK / 30


@pytest.mark.parametrize(("each", "tries"), [(0.0, (30, 60)), (400.0, (3, 3))])
def test_a_result_is_written_again_for_five_minutes(
    each: float, tries: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And three times at least: one try of a large one may take longer."""
    clock, made = SimulatedClock(), 0

    def create(_name: str, _data: Any) -> None:
        nonlocal made
        made += 1
        clock.now += each
        raise ConnectionRefusedError

    monkeypatch.setattr(container_hdfs, "_create", create)
    monkeypatch.setattr(container_hdfs, "_delete_temporary", lambda _name: None)
    for _ in range(3):
        begun, made = clock.now, 0
        with pytest.raises(container_hdfs.HdfsFault):
            container_hdfs.write("results/0", io.BytesIO(b"value"), clock)
        assert 300 <= clock.now - begun - made * each < 310 or each
        assert tries[0] <= made <= tries[1]


def test_a_service_that_is_not_ready_is_looked_at_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, looks, told = SimulatedClock(), 0, []
    begun = clock.now

    def run(*_some: Any, **_options: Any) -> Any:
        nonlocal looks
        looks += 1
        return SimpleNamespace(returncode=0 if clock.now - begun >= WEEK else 1)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(knit_container, "ready", lambda: told.append(clock.now - begun))
    readiness.main(30.0, 10.0, "true", clock)
    assert told == [WEEK]
    assert looks == WEEK / 30 + 1


# -- on this machine -------------------------------------------------------


def test_local_processes_and_ports_are_waited_for_to_the_deadline() -> None:
    clock = SimulatedClock()
    begun = clock.now
    assert processes.exit_code(processes.ProcessRecord(os.getpid(), ""), WEEK, 60.0, clock=clock) is None
    assert WEEK <= clock.now - begun < WEEK + 61
    begun = clock.now
    assert not ports.wait_free([("127.0.0.1", 1)], begun + 3600, free=lambda *_pair: False, clock=clock)
    assert 3600 <= clock.now - begun < 3601


def test_what_nobody_uses_for_weeks_goes_from_this_machines_cache(tmp_path: Path) -> None:
    (tmp_path / "environments" / "old").mkdir(parents=True)
    clock = SimulatedClock()
    clock.now = (tmp_path / "environments" / "old").stat().st_mtime
    for days, gone in ((0, 0), (29, 0), (2, 1)):
        clock.now += days * DAY
        assert len(prune_local(tmp_path, clock=clock).gone) == gone


def test_the_old_interfaces_kill_looks_for_half_a_minute() -> None:
    app = Application()
    client = SimpleNamespace(clock=app.clock, attach=lambda _id: app)
    client.resourcemanager = SimpleNamespace(kill=lambda _id: None)
    api = YARNAPI.__new__(YARNAPI)
    api._client = client
    assert api.kill(ID) is True
    assert 30 < app.passed < 41


def test_a_pause_by_the_real_clock_ends_with_its_signal() -> None:
    signal = threading.Event()
    signal.set()
    pause(signal, WEEK)
