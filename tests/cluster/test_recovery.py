"""What survives what: the ApplicationMaster killed, the ResourceManager restarted, a node lost, containers preempted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests

from knit_container.signing import encode_body, query_string, sign
from knit_core import Application, ApplicationReport, Knit, Outcome, State
from knit_core.errors import ApplicationFailed
from knit_core.local import LocalCluster
from tests.cluster_harness import client_of, eventually, own_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
SMALL = {"memory": 128, "vcores": 1}
PREEMPTION = "yarn.resourcemanager.monitor.capacity.preemption"
SETTINGS = {
    "yarn.scheduler.capacity.root.default.maximum-allocation-mb": "3072",
    "yarn.nm.liveness-monitor.expiry-interval-ms": "4000",
    "yarn.resourcemanager.nm.liveness-monitor.interval-ms": "500",
    "yarn.cluster.max-application-priority": "10",
    "yarn.resourcemanager.am.max-attempts": "5",
    "yarn.resourcemanager.scheduler.monitor.enable": "true",
    f"{PREEMPTION}.monitoring_interval": "500",
    f"{PREEMPTION}.max_wait_before_kill": "500",
    f"{PREEMPTION}.total_preemption_per_round": "1.0",
    f"{PREEMPTION}.natural_termination_factor": "1.0",
    f"{PREEMPTION}.max_ignored_over_capacity": "0.0",
}


@pytest.fixture(scope="module")
def own() -> Iterator[LocalCluster]:
    """A cluster whose ResourceManager keeps its state, which finds lost nodes soon, and which preempts."""
    with own_cluster("recovery", SETTINGS) as cluster:
        yield cluster


@pytest.fixture
def knit(own: LocalCluster) -> Iterator[Knit]:
    with client_of(own) as client:
        yield client


def masters(app_id: str) -> list[psutil.Process]:
    """Processes of the application's ApplicationMaster."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = process.info["cmdline"] or []
        if "knit.am.Main" in line and line[0].endswith("java") and app_id in (process.info["cwd"] or ""):
            found.append(process)
    return found


def kill_master(app: Application) -> None:
    """SIGKILL its ApplicationMaster, and wait for the next one to serve."""
    before = app.report().attempt
    eventually(lambda: masters(app.id), 20, "its process")
    time.sleep(2)  # YARN keeps only containers of which their nodes have told it: a heartbeat, late on a busy machine
    for process in masters(app.id):
        process.send_signal(signal.SIGKILL)
    eventually(lambda: _serves(app, before + 1), 60, "the next attempt")


def _serves(app: Application, attempt: int) -> bool:
    report = app.report()
    return report.state is State.RUNNING and report.attempt >= attempt


def node_of(app: Application, container: str) -> str:
    return next(c.host for c in app.containers() if c.id == container and not c.state.ended)


@pytest.mark.race
def test_containers_store_and_counts_survive_the_masters_death(knit: Knit, tmp_path: Path) -> None:
    """Programs and client go on over it without an error of their own; a second death, too."""
    tmp_path.chmod(0o755)
    flag = tmp_path / "end"
    program = (
        "import knit_container as k, os, pathlib, time\n"
        "k.kv['pid/%d' % k.instance] = os.getpid()\n"
        "beats = 0\n"
        f"while not pathlib.Path({str(flag)!r}).exists():\n"
        "    beats += 1\n"
        "    k.kv.put('beat/%d' % k.instance, beats)\n"
        "    k.progress(0.5, beats=beats)\n"
        "    time.sleep(0.1)\n"
        "k.barrier('end', timeout=100)\n"
        "k.result([k.instance, os.getpid(), beats])\n"
    )
    app = knit.submit(["python3", "-c", program], instances=3, attempts=3, **SMALL)
    app.wait_for_containers(3)
    pids = [app.kv.wait(f"pid/{rank}", timeout=30) for rank in range(3)]
    app.kv["mine"] = {"deep": [1]}
    revision = app.kv.put("counted", 1)
    before = list(app.events())
    path = "/api/v1/services/main/scale"
    secret, body = app.cluster.user_key.application_secret(app.id), encode_body({"instances": 1})
    for attempt in (1, 2):
        signed = sign(secret, "client", attempt, "PUT", path, {}, body)
        kill_master(app)
        recorded = f"http://{app.report().master}{path}?{query_string(signed)}"
        assert requests.put(recorded, data=body, timeout=20).status_code == 401  # meant for the attempt before
        assert app.kv["mine"] == {"deep": [1]}
        assert [c.id for c in app.containers() if not c.state.ended] == ["main_0", "main_1", "main_2"]
        assert {c.attempt for c in app.containers()} == {1}
        assert [app.kv[f"pid/{rank}"] for rank in range(3)] == pids
        beat = app.kv["beat/1"]
        eventually(lambda beat=beat: app.kv["beat/1"] > beat + 3, 30, "programs beat again")
    assert app.kv.put("counted", 2, expect=revision) > revision
    assert list(app.events())[: len(before)] == before
    assert len([event for event in app.events() if event.kind == "container-started"]) == 3
    flag.touch()
    result = app.wait(timeout=90)
    assert (result.outcome, result.attempt) == (Outcome.SUCCEEDED, 3)
    assert [value[:2] for value in result.value] == [[rank, pids[rank]] for rank in range(3)]


@pytest.mark.race
def test_calls_are_answered_soon_after_the_next_attempt_serves(knit: Knit) -> None:
    """From outside and from inside; nothing of what they wait for themselves comes on top of YARN's restart."""
    program = (
        "import knit_container as k, time\n"
        "worst, since = 0.0, time.time()\n"
        "while True:\n"
        "    k.kv['beat'] = 1\n"
        "    if time.time() - since > worst:\n"
        "        worst = time.time() - since\n"
        "        k.kv['worst'] = [since, time.time()]\n"
        "    since = time.time()\n"
        "    time.sleep(0.05)\n"
    )
    app = knit.submit(["python3", "-c", program], attempts=2, **SMALL)
    app.wait_for_containers(1)
    app.kv.wait("beat", timeout=60)
    time.sleep(2)  # as in kill_master
    with ThreadPoolExecutor(1) as pool:
        serves = pool.submit(_moment, lambda: _serves(app, 2))
        for process in masters(app.id):
            process.send_signal(signal.SIGKILL)
        killed = time.time()
        app.kv["from outside"] = 1
        answered, served = time.time(), serves.result()
    eventually(lambda: app.kv["worst"][1] > killed, 30, "a beat after the death")
    back = app.kv["worst"][1]
    print(
        f"killed; serves after {served - killed:.2f} s, outside {answered - killed:.2f} s, inside {back - killed:.2f} s"
    )
    app.kill(grace=0)
    assert answered - served < 3
    assert back - served < 5


def _moment(condition: Callable[[], bool]) -> float:
    deadline = time.time() + 60
    while not condition() and time.time() < deadline:
        time.sleep(0.02)
    return time.time()


@pytest.mark.race
def test_dependencies_and_restarts_go_on_where_they_stood(knit: Knit, tmp_path: Path) -> None:
    """What ended while there was no ApplicationMaster is heard of; a limit of restarts is not counted anew."""
    tmp_path.chmod(0o755)
    flag = tmp_path / "go"
    again = {"policy": "on-failure", "limit": 1, "first_delay": 0.1}
    waits = f"until [ -e {flag} ]; do sleep 0.1; done"
    app = knit.submit(
        {
            "services": {
                "first": {"command": f"[ $KNIT_ATTEMPT = 2 ] || exit 1; {waits}; exit 3", "restart": again, **SMALL},
                "second": {"command": f"{waits}; exit 0", **SMALL},
                "third": {"command": "sleep 300", "depends_on": {"second": "succeeded"}, **SMALL},
            },
            "attempts": 3,
        }
    )
    eventually(lambda: app.report().master and app.services()["first"].restarts == 1, 30, "first was restarted")
    eventually(lambda: app.services()["first"].running == app.services()["second"].running == 1, 30, "both run")
    for process in masters(app.id):
        process.send_signal(signal.SIGKILL)
    flag.touch()  # both end while nobody is there to hear it
    with pytest.raises(ApplicationFailed) as caught:
        app.wait(timeout=90)
    assert caught.value.exit_code == 3
    assert caught.value.result is not None
    rows = {(c.id, c.attempt): c.exit_code for c in caught.value.result.containers}
    assert (rows["first_0", 1], rows["first_0", 2], rows["second_0", 1]) == (1, 3, 0)


@pytest.mark.slow
@pytest.mark.race
def test_an_end_that_was_begun_is_finished_by_the_next_attempt(knit: Knit) -> None:
    command = [
        "python3",
        "-c",
        "import signal, time; signal.signal(15, lambda *_: None); time.sleep(4); time.sleep(300)",
    ]
    app = knit.submit({"services": {"main": {"command": command, "stop_grace": "30 s", **SMALL}}, "attempts": 3})
    app.wait_for_containers(1)
    app.shutdown("FAILED", "enough of it")
    for process in masters(app.id):
        process.send_signal(signal.SIGKILL)
    with pytest.raises(ApplicationFailed, match="enough of it"):
        app.wait(timeout=120)


@pytest.mark.race
def test_too_many_deaths_end_it_and_leave_nothing(knit: Knit, own: LocalCluster) -> None:
    app = knit.submit("exec sleep 424242", attempts=1, **SMALL)
    app.wait_for_containers(1)
    for process in masters(app.id):
        process.send_signal(signal.SIGKILL)
    with pytest.raises(ApplicationFailed):
        app.wait(timeout=60)
    result = app.result()
    assert result is not None
    assert not result.complete
    eventually(lambda: not _processes("sleep 424242"), 20, "its container is gone")


def _processes(words: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if words in " ".join(p.info["cmdline"] or [])]


def test_the_resourcemanager_restarts(knit: Knit, own: LocalCluster, tmp_path: Path) -> None:
    """With recovery on: same containers, same ApplicationMaster, and a client that waits all the while."""
    tmp_path.chmod(0o755)
    flag = tmp_path / "end"
    command = f"echo $$; until [ -e {flag} ]; do sleep 0.1; done"
    app = knit.submit(command, instances=2, **SMALL)
    app.wait_for_containers(2)
    before = [(c.id, c.yarn) for c in app.containers()]
    pids = [process.pid for process in masters(app.id)]
    own.restart(only=["resourcemanager"])
    eventually(lambda: app.report().state is State.RUNNING, 60, "the ResourceManager knows it again")
    assert [process.pid for process in masters(app.id)] == pids
    assert [(c.id, c.yarn) for c in app.containers()] == before
    assert app.scale(3) == 3
    app.wait_for_containers(3)
    flag.touch()
    assert app.wait(timeout=60).outcome is Outcome.SUCCEEDED


def test_waiting_goes_on_over_a_restart_of_the_resourcemanager(knit: Knit, own: LocalCluster) -> None:
    app = knit.submit("sleep 12", **SMALL)
    app.wait_for_containers(1)
    seen: list[ApplicationReport] = []
    import threading

    restart = threading.Thread(target=lambda: own.restart(only=["resourcemanager"]))
    restart.start()
    try:
        assert app.wait(timeout=100, on_report=seen.append).outcome is Outcome.SUCCEEDED
    finally:
        restart.join()


@pytest.mark.slow
def test_preempted_containers_are_replaced_and_count_for_nothing(knit: Knit, own: LocalCluster) -> None:
    """alice has all of it; bob's queue is entitled to a half and takes it back."""
    greedy = knit.submit(
        {
            "services": {"main": {"command": "sleep 300", "instances": 7, "memory": "2 GiB", "restart": "on-failure"}},
            "queue": "science",
        }
    )
    greedy.wait_for_containers(7)
    with Knit(own.resourcemanager_url, user="bob") as bob:
        other = bob.submit("sleep 1", memory="2 GiB", instances=3, queue="default")
        assert other.wait(timeout=90).outcome is Outcome.SUCCEEDED
    greedy.wait_for_containers(7)
    rows = greedy.containers()
    preempted = [c for c in rows if "preempted" in c.diagnostics]
    assert preempted
    assert all(c.exit_code == -102 for c in preempted)
    assert not [c for c in rows if str(c.state) == "FAILED"]
    assert max(c.attempt for c in rows) >= 2
    greedy.kill()


@pytest.mark.slow
def test_what_the_queue_refuses_waits_for_a_better_one(knit: Knit) -> None:
    """Moved to a queue that gives no such containers: the others go on, `why` says it, and moving back mends it."""
    big, small = {"command": "sleep 300", "memory": "4 GiB", "instances": 1}, {"command": "sleep 300", **SMALL}
    app = knit.submit({"services": {"big": big, "small": small}, "queue": "science"})
    app.wait_for_containers(2)
    app.move("default")
    app.scale(2, service="big")
    refused = eventually(lambda: [e for e in app.events() if e.kind == "request-refused"], 30, "YARN refuses it")
    assert "big" in refused[0].detail
    assert "Invalid resource request" in refused[0].detail
    assert "YARN refuses its request" in str(app.why())
    app.scale(3, service="small")  # the others are still given, and ends are still heard
    app.kill_container("small_0")
    app.wait_for_containers(3)
    app.move("science")
    eventually(lambda: "refuses" not in str(app.why()), 60, "it is asked for again")
    eventually(lambda: app.services()["big"].running == 2, 60, "it is given")
    app.kill()


@pytest.mark.slow
def test_priority(knit: Knit) -> None:
    app = knit.submit("sleep 300", priority=3, **SMALL)
    app.wait_for_containers(1)
    assert app.report().priority == 3
    app.set_priority(7)
    assert app.report().priority == 7
    app.kill()


@pytest.mark.race
def test_a_lost_node(knit: Knit, own: LocalCluster) -> None:
    """Its containers are started elsewhere, without counting as failures; the application does not notice otherwise."""
    wish = {"command": "sleep 300", "instances": 0, "relax_locality": True, **SMALL}  # where they like to be
    services = {"first": {**wish, "nodes": ["localhost"]}, "second": {**wish, "nodes": ["127.0.0.2"]}}
    app = knit.submit({"services": services, "completion": []})
    app.wait_until(lambda report: report.state is State.RUNNING, 60)
    master_on_second = ":127.0.0.2" in f":{app.report().master}"
    victim = "nodemanager" if master_on_second else "nodemanager-2"
    for name in services:
        app.scale(3, service=name)
    app.wait_for_containers(6)
    hosts = {c.id: c.host for c in app.containers()}
    lost = {name for name, host in hosts.items() if (host == "127.0.0.2") is (victim == "nodemanager-2")}
    if not lost:
        pytest.fail(f"no container on {victim}: {hosts}")
    own.kill(victim)
    try:
        eventually(lambda: {c.id for c in app.containers() if c.attempt == 2 and c.started_at} == lost, 60, "replaced")
        assert all(c.exit_code == -100 for c in app.containers() if c.state.ended)
        assert {name: row.running for name, row in app.services().items()} == {"first": 3, "second": 3}
    finally:
        own.restart(only=[victim])
    app.kill()


@pytest.mark.slow
@pytest.mark.race
def test_the_node_of_the_master_is_lost(knit: Knit, own: LocalCluster) -> None:
    """The next attempt runs on the other node and finds the containers there."""
    app = knit.submit("sleep 300", instances=6, attempts=3, **SMALL)
    app.wait_for_containers(6)
    on_second = app.report().master.startswith("127.0.0.2")
    victim = "nodemanager-2" if on_second else "nodemanager"
    kept = {c.id: c.yarn for c in app.containers() if (c.host == "127.0.0.2") is not on_second}
    app.kv["before"] = 1
    own.kill(victim)
    for process in masters(app.id):
        process.send_signal(signal.SIGKILL)  # a node that is really lost takes it along
    try:
        eventually(lambda: _serves(app, 2), 90, "the next attempt")
        eventually(lambda: app.services()["main"].running == 6, 60, "all six run again")
        assert app.kv["before"] == 1
        now = {c.id: c.yarn for c in app.containers() if not c.state.ended}
        assert {name: now[name] for name in kept} == kept
    finally:
        own.restart(only=[victim])
    app.kill()


def test_nothing_of_it_is_left(own: LocalCluster) -> None:
    """The tests above have killed daemons and masters; no program of theirs may have stayed."""
    eventually(lambda: not _processes("sleep 300"), 30, "all programs are gone")
    assert os.getpid()
