"""How long `map` and `run` wait: in a full queue, and while the ResourceManager is away."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from knit_core.application import Application
from knit_core.errors import ConnectionFailed, MasterUnreachable, NotFound
from knit_core.functions import FunctionJob, run_job
from knit_core.hadoop.http import RetryPolicy
from knit_core.model.report import ApplicationReport
from knit_core.model.states import Outcome, State
from tests.simulated_clock import SimulatedClock

ID = "application_1_0001"
WEEK = 7 * 86_400.0


class Cluster:
    """Stands for `Knit`: an application that waits in its queue, runs, and ends, by a simulated clock.

    Args:
        queued, runs: seconds.
        away: from when to when (seconds after its start) the ResourceManager does not answer, 20 s for each try.
        lost: the same of the NameNode.
        torn: how many replies with values break in the middle, after 20 s each.
    """

    def __init__(
        self,
        queued: float,
        runs: float,
        away: tuple[float, float] = (0.0, 0.0),
        lost: tuple[float, float] = (0.0, 0.0),
        torn: int = 0,
    ) -> None:
        self.clock = SimulatedClock()
        self.begun = self.clock.now
        self.starts, self.ends, self.away, self.lost, self.torn = queued, queued + runs, away, lost, torn
        self.killed = False
        self.resourcemanager = SimpleNamespace(app=self.app, kill=self.kill, address="http://rm")
        self.hdfs = SimpleNamespace(
            waiting=lambda retry: SimpleNamespace(
                read=lambda path: retry.call(lambda: self.read(path), idempotent=True)
            ),
            stream=self.stream,
            read=self.read,
            delete=self.delete,
            retry=RetryPolicy(clock=self.clock),
        )
        self.deleted: list[str] = []
        self.unsigned = (0.0, 0.0)
        self.silent = False  # the application ends before its last change of the store is read
        self.config = SimpleNamespace(staging="/s", user="alice")

    @property
    def now(self) -> float:
        return self.clock.now - self.begun

    def application_folder(self, app_id: str) -> str:
        return f"/s/apps/{app_id}"

    def check_staging(self) -> bool:
        return True

    def submit(self, _spec: Mapping[str, Any]) -> Application:
        return Application(self, ID)  # type: ignore[arg-type]

    def app(self, _id: str) -> ApplicationReport:
        self.clock.now += 60.0 if self.now > 2000 else 0.1  # a slow answer, so that a week is not a million looks
        if self.away[0] <= self.now < self.away[1]:
            self.clock.now += 20.0
            raise ConnectionFailed("the ResourceManager is away")
        if self.killed:
            return ApplicationReport(ID, "n", "u", "q", State.KILLED, Outcome.KILLED)
        if self.now >= self.ends:
            return ApplicationReport(ID, "n", "u", "q", State.FINISHED, Outcome.SUCCEEDED)
        if self.now >= self.starts:
            return ApplicationReport(ID, "n", "u", "q", State.RUNNING, None, master="h:1")
        return ApplicationReport(ID, "n", "u", "q", State.ACCEPTED, None)

    def kill(self, _id: str, _reason: str = "") -> None:
        self.killed = True

    def application_master(self, _app_id: str, _report: Any) -> Any:
        return SimpleNamespace(call=self.call)

    def call(
        self,
        method: str,
        _path: str,
        _body: Any,
        query: Mapping[str, str] | None = None,
        _wait: float = 0.0,
        retry_timeout: float | None = None,
    ) -> Any:
        """The key-value store: one chunk is done when the application has ended."""
        if self.unsigned[0] <= self.now < self.unsigned[1]:
            self.clock.now += 20.0
            raise ConnectionFailed("the secret cannot be read")
        if self.now >= self.ends or self.killed or method != "GET":
            raise MasterUnreachable(ID, ["it has ended"])
        self.clock.now = min(self.clock.now + max(1.0, float((query or {}).get("wait", 0))), self.begun + self.ends)
        done = self.now >= self.ends and not self.silent
        row = {"key": "done/0", "value": {"failures": 0}, "revision": 1}
        return {"entries": [row] if done else [], "deleted": [], "revision": int(done), "more": False}

    def stream(self, _path: str) -> Iterator[bytes]:
        whole = pickle.dumps(("value", 7))
        yield whole[:3]
        if self.torn:
            self.torn -= 1
            self.clock.now += 20.0
            raise ConnectionFailed("the connection broke")
        yield whole[3:]

    def read(self, path: str) -> bytes:
        self._namenode()
        raise NotFound(path)

    def delete(self, path: str, recursive: bool = False) -> None:
        self.deleted.append(path)

    def _namenode(self) -> None:
        if self.lost[0] <= self.now < self.lost[1]:
            self.clock.now += 20.0
            raise ConnectionFailed("the NameNode is away")


def _run(
    cluster: Cluster, timeout: float | None = None, progress: Callable[[int, int], None] | None = None
) -> list[Any]:
    job = FunctionJob(len, [("seven",)])
    return run_job(
        cluster.submit,
        job,
        workers=1,
        return_exceptions=False,
        timeout=timeout,
        progress=progress,
        options={},
        clock=cluster.clock,
    )


def test_a_full_queue_is_waited_out_for_a_week() -> None:
    cluster = Cluster(queued=WEEK, runs=60.0)
    assert _run(cluster) == [7]
    assert not cluster.killed


@pytest.mark.parametrize("silent", [False, True])
def test_progress_reaches_the_end_also_when_the_application_ends_first(silent: bool) -> None:
    cluster, told = Cluster(queued=5.0, runs=60.0), list[tuple[int, int]]()
    cluster.silent = silent
    assert _run(cluster, progress=lambda done, of: told.append((done, of))) == [7]
    assert told == [(1, 1)]


def test_calls_that_take_a_week_are_waited_for() -> None:
    cluster = Cluster(queued=5.0, runs=WEEK)
    assert _run(cluster, timeout=2 * WEEK) == [7]
    assert not cluster.killed


def test_a_resourcemanager_that_is_away_costs_no_job() -> None:
    """As long as `Application.wait` forgives, and no longer."""
    cluster = Cluster(queued=5.0, runs=1000.0, away=(100.0, 380.0))
    assert _run(cluster) == [7]
    assert not cluster.killed
    with pytest.raises(ConnectionFailed, match="is away"):
        _run(Cluster(queued=5.0, runs=1000.0, away=(100.0, 900.0)))


@pytest.mark.parametrize("fault", [{"lost": (1000.0, 1200.0)}, {"torn": 10}])
def test_values_are_fetched_when_the_namenode_is_back(fault: dict[str, Any]) -> None:
    """The end and the values are read from HDFS; what is not fetched then would be lost."""
    cluster = Cluster(queued=5.0, runs=1000.0, **fault)
    assert _run(cluster) == [7]
    assert cluster.now >= 1200.0
    assert cluster.deleted


@pytest.mark.parametrize("fault", [{"lost": (1000.0, 1400.0)}, {"torn": 20}])
def test_values_are_not_waited_for_without_end(fault: dict[str, Any]) -> None:
    with pytest.raises(ConnectionFailed):
        _run(Cluster(queued=5.0, runs=1000.0, **fault))


def test_waiting_does_not_outlast_its_time_for_the_namenode() -> None:
    cluster = Cluster(queued=5.0, runs=100.0, lost=(100.0, 10_000.0))
    with pytest.raises(ConnectionFailed, match="the NameNode is away"):
        cluster.submit({}).wait(timeout=150.0)
    assert 150.0 <= cluster.now < 180.0


def test_a_namenode_that_is_away_before_the_first_call_costs_no_job() -> None:
    """The secret that signs calls lies there."""
    cluster = Cluster(queued=5.0, runs=1000.0)
    cluster.unsigned = (0.0, 280.0)
    assert _run(cluster) == [7]
    lasting = Cluster(queued=5.0, runs=1000.0)
    lasting.unsigned = (0.0, 400.0)
    with pytest.raises(ConnectionFailed, match="the secret cannot be read"):
        _run(lasting)
    assert lasting.now < 400.0
