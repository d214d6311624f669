"""A simulated week through the waits, back-offs and validities of the client and of calls from containers.

What lasts as long as it should, costs the same each time and remembers nothing more. The wait for an end is in
test_waiting, `map` and `run` in test_function_waits, the ways to an ApplicationMaster in test_master, the budget of
retries in test_http, a refused configuration in test_config, returning nodes in test_restarted_resourcemanager.

More than 400 lines: the list of files with a clock of their own belongs to the tests of the others.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

import knit_container
from knit_container import application_master as container_master
from knit_container import readiness
from knit_container.store import KeyValueStore
from knit_core.application import Application
from knit_core.errors import (
    ApplicationNotFound,
    ConnectionFailed,
    MasterUnreachable,
    NotFound,
    RequestRefused,
    WaitTimeout,
)
from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.hadoop.http import SimpleAuth
from knit_core.launch.submission import submit as submit_body
from knit_core.launch.submission import wait_accepted
from knit_core.model.report import ApplicationReport
from knit_core.model.states import State
from tests.simulated_clock import SimulatedClock
from tests.unit.test_master import ID, KEY, REPORT, signed

DAY = 86_400.0
WEEK = 7 * DAY
ROOT = Path(__file__).resolve().parents[2]


class Cluster:
    """Stands for a cluster: an application in `report`, and an ApplicationMaster that holds long polls to their end."""

    def __init__(self, report: ApplicationReport = REPORT) -> None:
        self.clock = SimulatedClock()
        self.begun, self.report, self.looks, self.polls = self.clock.now, report, 0, 0
        self.resourcemanager = SimpleNamespace(app=self._app, address="http://rm")
        self.on_poll: Callable[[float], dict[str, Any]] = lambda now: {"events": [], "next": 0}
        self.services: dict[str, Any] = {}
        self.containers: list[dict[str, Any]] = []

    @property
    def passed(self) -> float:
        return self.clock.now - self.begun

    @property
    def application(self) -> Application:
        return Application(self, ID)  # type: ignore[arg-type]

    def _app(self, _id: str) -> ApplicationReport:
        self.looks += 1
        self.clock.now += 5.0  # so that a week is not a million looks
        return self.report

    def application_folder(self, app_id: str) -> str:
        return f"/s/apps/{app_id}"

    def application_master(self, _app_id: str, _report: Any) -> Any:
        return SimpleNamespace(call=self._call, get=self._get)

    def _get(self, path: str, query: Any = None, wait: float = 0.0, retry_timeout: float | None = None) -> Any:
        return self._call("GET", path, None, query, wait, retry_timeout)

    def _call(
        self,
        _method: str,
        path: str,
        _body: Any,
        query: Any = None,
        wait: float = 0.0,
        _retry_timeout: float | None = None,
    ) -> Any:
        if path == "/application":
            return {"services": self.services}
        if path == "/containers":
            self.clock.now += 5.0
            return {"containers": self.containers}
        self.polls += 1
        self.clock.now += max(1.0, float((query or {}).get("wait", 0)))
        return self.on_poll(self.passed)


def test_a_state_is_waited_for_as_long_as_one_likes() -> None:
    for timeout in (2 * WEEK, None):
        cluster = Cluster(replace(REPORT, state=State.ACCEPTED))

        def starts(_now: float, cluster: Cluster = cluster) -> None:
            if cluster.passed >= WEEK:
                cluster.report = REPORT

        cluster.clock.on_sleep = starts
        found = cluster.application.wait_until(lambda report: report.state is State.RUNNING, timeout)
        assert found is REPORT
        assert max(cluster.clock.slept) < 0.6
    late = Cluster(replace(REPORT, state=State.ACCEPTED))
    with pytest.raises(WaitTimeout):
        late.application.wait_until(lambda report: False, WEEK)
    assert WEEK <= late.passed < WEEK + 10


def test_readiness_is_waited_for_in_long_polls() -> None:
    cluster = Cluster()
    counts = ("instances", "running", "ready", "pending", "waiting", "succeeded", "failed", "restarts")
    cluster.services = {"main": {"state": "WAITING", **dict.fromkeys(counts, 0)}}
    with pytest.raises(WaitTimeout, match="main WAITING"):
        cluster.application.wait_until_ready(timeout=WEEK)
    assert WEEK <= cluster.passed < WEEK + 50
    assert cluster.polls < WEEK / 30


def test_containers_are_waited_for() -> None:
    cluster = Cluster()
    with pytest.raises(WaitTimeout, match="none known"):
        cluster.application.wait_for_containers(timeout=WEEK)
    assert WEEK <= cluster.passed < WEEK + 20


@pytest.mark.parametrize("wait", ["wait_until_ready", "wait_for_containers"])
def test_a_service_of_the_cluster_that_is_away_ends_no_wait(wait: str) -> None:
    """As with the wait for an end: for 300 seconds in a row, or until the time is over."""
    away: list[tuple[float, float]] = []

    class Faulty(Cluster):
        def _call(self, *some: Any) -> Any:
            if any(begins <= self.passed < ends for begins, ends in away):
                self.clock.now += 20.0
                raise ConnectionFailed("the NameNode is away: no secret")
            return super()._call(*some)

    counts = ("instances", "running", "ready", "pending", "waiting", "succeeded", "failed", "restarts")
    for spans, kind in (([(10.0, 280.0), (400.0, 670.0)], WaitTimeout), ([(10.0, 400.0)], ConnectionFailed)):
        away[:] = spans
        cluster = Faulty()
        cluster.services = {"main": {"state": "WAITING", **dict.fromkeys(counts, 0)}}
        with pytest.raises(kind):
            getattr(cluster.application, wait)(timeout=1000.0)
        assert (cluster.passed >= 1000.0) is (kind is WaitTimeout)


def test_events_are_followed() -> None:
    cluster, answers = Cluster(), 0

    def poll(now: float) -> dict[str, Any]:
        nonlocal answers
        if now >= WEEK:
            raise MasterUnreachable(ID, ["it has ended"])
        answers += 1
        event = {"seq": answers, "at": 1, "event": "scaled"}
        return {"events": [event], "next": answers}

    cluster.on_poll = poll
    cluster.hdfs = SimpleNamespace(read=_nothing)  # type: ignore[attr-defined]
    cluster.config = SimpleNamespace(staging="/s")  # type: ignore[attr-defined]
    seen = 0
    with pytest.raises(MasterUnreachable):
        for _event in cluster.application.events(follow=True):
            seen += 1
    assert seen == answers > WEEK / 50


def test_keys_are_waited_for_and_watched() -> None:
    clock, calls = SimulatedClock(), 0

    def call(_method: str, path: str, _body: Any, query: dict[str, str], _wait: float) -> Any:
        nonlocal calls
        calls += 1
        clock.now += float(query.get("wait", 0))
        if path.endswith("/kv"):
            return {"entries": [], "deleted": [], "revision": 1, "more": False}
        raise RequestRefused("not there", status=404)

    store, begun = KeyValueStore(call, RequestRefused, clock), clock.now
    with pytest.raises(TimeoutError):
        store.wait("key", timeout=WEEK)
    assert WEEK <= clock.now - begun < WEEK + 1
    begun = clock.now
    assert list(store.watch(after=1, timeout=WEEK)) == []
    assert WEEK <= clock.now - begun < WEEK + 1
    assert calls < 2 * WEEK / 39


def test_a_client_of_a_week_follows_the_masters_clock_and_attempts() -> None:
    """Signatures are good for minutes by the ApplicationMaster's clock; this machine's goes wrong by an hour a day."""
    clock, restarts, calls, sessions = SimulatedClock(), 1, 0, requests.Session()
    begun = clock.now

    def send(_method: str, url: str, _body: bytes, _timeout: object) -> tuple[int, bytes]:
        nonlocal calls
        calls += 1
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        theirs = begun + (clock.now - begun) * 25 / 24
        if abs(int(query["ktime"]) / 1000 - theirs) > 30 or query["kattempt"] != str(restarts):
            stale = {"error": "stale", "time": int(theirs * 1000), "attempt": restarts}
            return 403, signed(query["knonce"], json.dumps(stale).encode(), 403)
        return 200, signed(query["knonce"], b'{"fine": true}')

    direct = SimpleNamespace(send=send)
    there = ApplicationMasterClient(
        ID,
        lambda: KEY,
        lambda: replace(REPORT, master="h:1"),
        direct,  # type: ignore[arg-type]
        lambda: sessions,
        SimpleAuth("alice"),
        clock=clock,
    )
    for minute in range(7 * 24 * 6):
        if minute % 1000 == 999:
            restarts += 1
        assert there.get("/application") == {"fine": True}
        clock.sleep(600)
    assert calls <= 3 * 7 * 24 * 6


def test_a_submission_in_doubt_is_repeated_and_given_up() -> None:
    clock, tries, known = SimulatedClock(), 0, 0

    def submit(_body: Any, _retry: Any) -> None:
        nonlocal tries
        tries += 1
        clock.now += 45.0
        raise ConnectionFailed("no reply in time")

    def app(_id: str, _retry: Any) -> ApplicationReport:
        nonlocal known
        known += 1
        clock.now += 45.0
        raise ConnectionFailed("no reply in time")

    def never_heard_of(app_id: str, _retry: Any) -> ApplicationReport:
        raise ApplicationNotFound(app_id)

    cluster: Any = SimpleNamespace(clock=clock, resourcemanager=SimpleNamespace(submit=submit, app=app))
    said: list[str] = []
    with pytest.raises(ConnectionFailed):
        submit_body(cluster, {"application-id": ID}, said.append)
    assert (tries, known) == (1, 1)  # what is not known to be unknown is not submitted again
    cluster.resourcemanager.app = never_heard_of
    tries = 0
    with pytest.raises(ConnectionFailed):
        submit_body(cluster, {"application-id": ID}, said.append)
    assert tries == 2
    begun = clock.now
    cluster.resourcemanager.app = lambda _id: replace(REPORT, state=State.SUBMITTED)
    assert wait_accepted(cluster, {"application-id": ID}, said.append)  # the scheduler does not come to it
    assert 3.0 <= clock.now - begun < 4.0
    begun = clock.now
    cluster.resourcemanager.app = lambda _id: replace(REPORT, state=State.NEW_SAVING)
    assert not wait_accepted(cluster, {"application-id": ID}, said.append)  # it is never stored
    assert 60.0 <= clock.now - begun < 61.0


def test_a_container_waits_for_its_master_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = _in_container(tmp_path, monkeypatch)
    clock, looks = there._clock, []
    monkeypatch.setattr(there, "_send", _refused)
    monkeypatch.setattr(there, "_read_address", lambda: looks.append(clock.now))
    for _ in range(3):
        begun = clock.now
        looks.clear()
        with pytest.raises(ConnectionError, match="for 300 s"):
            there.call("GET", "/api/v1/application")
        assert 300 <= clock.now - begun <= 304
        soon = [later - earlier for earlier, later in itertools.pairwise(looks) if later - begun < 30]
        assert max(soon) <= 1.0
        assert len(looks) < 300


def test_a_containers_long_poll_does_not_wait_for_a_node_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of the reply is no time to connect."""
    there, times = _in_container(tmp_path, monkeypatch), []

    class Connection:
        def __init__(self, _address: str, timeout: float) -> None:
            self.timeout, self.sock = timeout, None

        def connect(self) -> None:
            times.append(self.timeout)
            raise TimeoutError

        def close(self) -> None:
            pass

    monkeypatch.setattr(container_master.http.client, "HTTPConnection", Connection)
    monkeypatch.setattr(there, "_read_address", lambda: None)
    with pytest.raises(ConnectionError):
        there.call("GET", "/api/v1/kv", None, {"wait": "40"}, 40.0)
    assert set(times) == {3.0}


def test_readiness_is_told_when_the_master_is_back_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | None] = [ConnectionError("no ApplicationMaster for 300 s"), None]

    def ready() -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    monkeypatch.setattr(knit_container, "ready", ready)
    readiness.main(0.0, 10.0, "true")
    assert not answers


#: Files of the client that read a clock of their own, and why that is right.
OWN_CLOCK = {
    **dict.fromkeys(
        (
            "knit_core/model/clock.py",
            "knit_core/hadoop/cluster.py",
            "knit_core/hadoop/application_master.py",
            "knit_core/monitoring/wait.py",
            "knit_core/hadoop/webhdfs.py",
            "knit_core/hdfs_cache/pruning.py",
            "knit_core/config/settings.py",
            "knit_core/hadoop/http/retry.py",
            "knit_core/cli/environments/cache.py",
            "knit_core/cli/log_output.py",
            "knit_core/environments/prune.py",
            "knit_core/local/ports.py",
            "knit_core/local/processes.py",
            "knit_core/logs/aggregated/log_files.py",
            "knit_core/logs/progress_bars.py",
            "knit_core/logs/live/follow_container.py",
            "knit_core/logs/live/follow_nodes.py",
            "knit_core/logs/live/follow_application.py",
            "knit_core/logs/live/routes.py",
            "knit_core/logs/live/gateway_logs.py",
            "knit_core/logs/live/through_master.py",
            "knit_container/context.py",
            "knit_container/hdfs.py",
            "knit_container/application_master.py",
            "knit_container/readiness.py",
            "knit_container/tokens.py",
            "knit_container/store.py",
        ),
        "the default of a parameter or an attribute",
    ),
    "knit_container/__main__.py": "times of tokens, for people",
    "knit_core/hadoop/http/gateway_auth.py": "whether a refused token has expired, for a message",
    "knit_container/signing.py": "the moment of a signature, where the caller gives none",
    "knit_core/launch/ledger.py": "when a claim was made, for people",
    "knit_core/environments/builder.py": "when an environment was built, for people",
    "knit_core/testing.py": "a stand-in for tests, with waits of a minute at most",
    "knit_core/local/bringup.py": "waits for daemons of this machine, which start by no clock but its own",
    "knit_core/local/cluster.py": "the deadlines of those waits",
    "knit_core/local/secure/certificates.py": "from when on a certificate is valid",
    "knit_core/local/class_archive.py": "one pause of a process of its own",
    "knit_core/environments/programs/solve_with_rattler.py": "paces the progress of a process of its own",
    "knit_core/dask_yarn/cluster.py": "waits for a start by the event loop that it belongs to",
    "knit_core/dask_yarn/programs/dask_node.py": "a program in a container, which waits by Dask's event loop",
}
_READS = re.compile(
    r"^\s*(import time\b|from time import)|\bdatetime\.(now|utcnow)\(|\bloop\.time\(|\basyncio\.sleep\(", re.MULTILINE
)


def test_no_other_file_reads_a_clock_of_its_own() -> None:
    """A new wait takes the client's clock, and comes into this file or into test_simulated_weeks.

    `knit_airflow` is not looked at: triggers pause by the triggerer's event loop and tasks by Airflow's own time-outs,
    which no clock of ours turns. What decides there (`_application_wait`, `_shared_poll_state`, `_asset_events`,
    `knit_core.monitoring.wait`) is given the time.
    """
    users = {
        str(path.relative_to(ROOT))
        for folder in ("knit", "knit_core", "knit_container")
        for path in (ROOT / folder).rglob("*.py")
        if _READS.search(path.read_text(encoding="utf-8"))
    }
    assert users == set(OWN_CLOCK)


def _nothing(path: str) -> bytes:
    raise NotFound(path)


def _refused(*_args: object) -> Any:
    raise ConnectionRefusedError


def _in_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> container_master.ApplicationMaster:
    (tmp_path / "tokens").write_bytes(b"")
    monkeypatch.setattr(container_master, "secrets_in", lambda _raw: {"knit.token": KEY})
    environ = {
        "KNIT_MASTER": "10.0.0.1:1",
        "KNIT_MASTER_ATTEMPT": "1",
        "CONTAINER_ID": "container_1_0001_01_000002",
        "HADOOP_TOKEN_FILE_LOCATION": str(tmp_path / "tokens"),
    }
    return container_master.ApplicationMaster(environ, SimulatedClock())
