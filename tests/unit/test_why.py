"""Why an application waits or ended: each cause is named, with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from knit_core.model.cluster_facts import Node
from knit_core.model.report import ApplicationReport
from knit_core.model.result import Container, Result
from knit_core.model.service_status import ServiceStatus
from knit_core.model.states import ContainerState, Outcome, State
from knit_core.monitoring.diagnosis import Pending, why_ended, why_no_master, why_running

ROOMS = [
    Node("n1", "/r", "RUNNING", 8192, 16, free_memory=256, free_vcores=4),
    Node("n2", "/r", "RUNNING", 8192, 16, free_memory=6784, free_vcores=9),
]
AM_LIMIT = (
    "[Wed Nov 25 20:03:56 +0000 2026] Application is added to the scheduler and is not yet activated. Queue's AM resource "
    "limit exceeded.  Details : AM Partition = <DEFAULT_PARTITION>; AM Resource Request = <memory:3072, vCores:1>; Queue "
    "Resource Limit for AM = <memory:2048, vCores:1>; User AM Resource Limit of the queue = <memory:6592, vCores:1>; Queue "
    "AM Resource Usage = <memory:1536, vCores:3>; "
)


def report(diagnostics: str = "", state: State = State.ACCEPTED, **more: Any) -> ApplicationReport:
    return ApplicationReport(
        "application_1_0001", "x", "me", "root.science", state, None, 0.25, diagnostics, started_at=1000, **more
    )


def container(state: str, **more: Any) -> Container:
    return Container("main_0", "main", 0, more.pop("attempt", 1), ContainerState(state), requested_at=1000, **more)


def ended(outcome: str, *containers: Container, diagnostics: str = "") -> Result:
    return Result("application_1_0001", Outcome(outcome), diagnostics=diagnostics, containers=containers)


def status(name: str = "main", state: str = "READY", running: int = 1, ready: int = 1) -> ServiceStatus:
    return ServiceStatus(name, state, 1, running, ready, 0, 0, 0, 0, 0)


def test_the_queues_limit_for_masters() -> None:
    why = str(why_no_master(report(AM_LIMIT), 251_000, ROOMS, ["root.science", "root.default"]))
    assert why.startswith(
        'Waiting for its ApplicationMaster since 4 min 10 s. Queue "root.science" lets ApplicationMasters use 2 GiB'
    )
    assert "1.5 GiB are in use" in why
    assert "→ end an application of the queue (knit list --queue science), use another queue (root.default)" in why


def test_no_room_for_the_master_and_no_nodes() -> None:
    full = report("Application is Activated, waiting for resources to be assigned for AM.  Details : …")
    why = str(why_no_master(full, 2000, ROOMS, ["science"]))
    assert "is full" in why
    assert "n2, has 6.6 GiB left" in why
    assert "no running NodeManager" in str(why_no_master(full, 2000, [], []))
    assert "in state SUBMITTED" in str(why_no_master(report(state=State.SUBMITTED), 2000, ROOMS, []))
    assert "Starting its ApplicationMaster" in str(
        why_no_master(report("AM container is launched", attempt=1), 2000, ROOMS, [])
    )


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (Pending(7168, 1, 3), "3 of 7 GiB, 1 vcores: no node has that left (most: 6.6 GiB on n2)"),
        (Pending(9000, 1, 1), "no node is that large"),
        (Pending(512, 1, 1), "there is room on 1 of 2 nodes, the queue's limit holds it back"),
        (Pending(512, 10, 1, "gpu"), "512 MiB, 10 vcores, label gpu: no node has that left"),
    ],
)
def test_containers_that_are_not_given(size: Pending, said: str) -> None:
    why = str(why_running(report(state=State.RUNNING), {}, [container("REQUESTED")], [size], ROOMS, 61_000))
    assert "1 container is asked for, the first since 1 min" in why
    assert said in why
    assert "→ wait for room" in why


def test_requests_of_one_size_are_counted_together() -> None:
    sizes = [Pending(7168, 1, 1), Pending(512, 1, 1), Pending(7168, 1, 2), Pending(512, 1, 0)]
    why = why_running(report(state=State.RUNNING), {}, [container("REQUESTED")], sizes, ROOMS, 2000)
    assert [line.partition(":")[0] for line in why.details[1:]] == ["3 of 7 GiB, 1 vcores", "1 of 512 MiB, 1 vcores"]


def test_what_else_is_waited_for() -> None:
    rows = [container("HELD"), container("WAITING", attempt=2), container("FAILED", diagnostics="exited with 3")]
    services = {"web": status("web", "WAITING"), "db": status("db", "STARTING", running=2, ready=1)}
    why = str(why_running(report(state=State.RUNNING), services, rows, [], ROOMS, 2000))
    for said in (
        "1 container is held until their whole gang is there",
        "service web waits for the services",
        "service db: 1 instance runs, not ready yet",
        "1 instance waits for a restart: main_0 exited with 3",
    ):
        assert said in why
    idle = why_running(report(state=State.RUNNING), {"main": status()}, [container("RUNNING")], [], ROOMS, 2000)
    assert str(idle) == "It runs, 25%: 1 container, and nothing is waited for."


def test_refused_requests() -> None:
    words = "YARN refuses its request: more than 1024"
    rows = [
        container("RUNNING"),
        container("WAITING", attempt=2, diagnostics=words),
        container("REQUESTED", diagnostics=words),
    ]
    why = why_running(report(state=State.RUNNING), {}, rows, [], ROOMS, 2000)
    assert why.details == (f"2 containers cannot be had: {words}",)
    assert "knit move" in why.advice[0]


def test_killed_for_memory() -> None:
    failed = container(
        "FAILED",
        node="n1:1",
        exit_code=-104,
        diagnostics="was killed for memory: 1.2 GB used of 1 GB asked, after 41.0 s",
    )
    why = why_ended(ended("FAILED", failed, diagnostics="main_0 (…) was killed"), None)
    assert str(why).startswith("Failed: main_0 (n1) was killed for memory: 1.2 GB used of 1 GB asked, after 41.0 s.")
    assert why.advice == ('memory="1.8 GiB" or more',)  # half more than YARN saw, not than was asked


def test_killed_for_virtual_memory_and_the_master_for_its_own() -> None:
    words = "was killed for memory: 303.9 MB used of 268.8 MB virtual, after 1.0 s"
    failed = container("FAILED", node="n1:1", exit_code=-103, diagnostics=words)
    (advice,) = why_ended(ended("FAILED", failed, diagnostics="main_0 (…) was killed"), None).advice
    assert "vmem-check-enabled" in advice
    words = "AM Container for appattempt_1 exited with exitCode: -104 … Current usage: 300 MB of 256 MB physical memory used"
    (advice,) = why_ended(ended("FAILED", diagnostics=words), None).advice
    assert 'master_memory="450 MiB"' in advice


@pytest.mark.parametrize(
    ("code", "stderr", "advice"),
    [
        (127, (), "not found"),
        (139, (), "SIGSEGV"),
        (137, (), "not from Knit"),
        (1, ("Traceback …", "ModuleNotFoundError: No module named 'pandas'"), "lacks 'pandas'"),
        (1, ("MemoryError",), "ran out of memory"),
    ],
)
def test_what_to_do_about_an_exit_code(code: int, stderr: tuple[str, ...], advice: str) -> None:
    failed = container(
        "FAILED", node="n1:1", exit_code=code, diagnostics=f"exited with {code} after 0.1 s", stderr=stderr
    )
    why = why_ended(ended("FAILED", failed, diagnostics="main_0 …"), None)
    assert advice in str(why)
    assert all(f"| {line}" in str(why) for line in stderr)


def test_other_ends() -> None:
    assert str(why_ended(ended("SUCCEEDED"), None)) == "Succeeded."
    assert "Killed: no longer needed" in str(why_ended(ended("KILLED", diagnostics="no longer needed"), None))
    assert "→ launch it again" in str(why_ended(ended("LOST", diagnostics="forgotten"), None))
    master = why_ended(ended("FAILED", diagnostics="AM Container for appattempt… exited with  exitCode: 1"), None)
    assert "knit logs application_1_0001" in str(master)
    vain = why_ended(
        ended("FAILED", container("FAILED", node="n:1"), diagnostics="service b cannot start: main_0"), None
    )
    assert str(vain).startswith("Failed: service b cannot start")


@pytest.mark.parametrize(
    ("words", "reason", "advice"),
    [
        (
            "failed 2 times due to AM Container …\nknit: this attempt of the ApplicationMaster ends: the thread x died\n",
            "the thread x died",
            "knit logs",
        ),
        (
            "AM Container … exitCode: 3\nTerminating due to java.lang.OutOfMemoryError: Java heap space\n",
            "java.lang.OutOfMemoryError: Java heap space",
            "master_memory=",
        ),
    ],
)
def test_why_the_application_master_ended(words: str, reason: str, advice: str) -> None:
    why = why_ended(ended("FAILED", diagnostics=words), None)
    assert why.text == f"Failed: its ApplicationMaster ended: {reason}"
    assert advice in why.advice[0]
