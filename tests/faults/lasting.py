"""Faults that stay, for test_matrix: how each main job ends, and within which time (see docs/recovery.md).

The client's clock runs `FASTER` times as fast, and what it waits for a reply is that much shorter, so that its seconds
are tenths of real ones.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from knit_core import Application, Knit
from knit_core.errors import (
    ConnectionFailed,
    KnitError,
    MasterUnreachable,
    ServiceUnavailable,
    WaitTimeout,
)
from knit_core.model.clock import Signal
from tests.fault_proxy import BlackHole, Fault, HalfOpen, Refuse
from tests.faults.jobs import SMALL, Bench

FASTER = 10.0
CALL = 65.0  # seconds: tries start for 20 s, there are two at least, and each may take 30 s
AWAY = (ConnectionFailed, ServiceUnavailable)
FAULTS: dict[str, Fault] = {"refused": Refuse(), "black-hole": BlackHole(), "half-open": HalfOpen()}
JOBS: dict[str, Callable[[Knit, Application], object]] = {
    "launch": lambda knit, app: knit.submit("true", **SMALL),
    "wait": lambda knit, app: app.wait(timeout=100),
    "wait-on": lambda knit, app: app.wait(),
    "wait-ended": lambda knit, app: app.wait(),
    "logs": lambda knit, app: list(app.logs()),
    "old-logs": lambda knit, app: list(app.logs()),
    "kv": lambda knit, app: app.kv.put("key", 1),
    "kill": lambda knit, app: app.kill("enough"),
}
RM, HDFS, MASTER = "client-resourcemanager", "client-namenode", "client-master"
DATA, NODE = "client-datanode", "client-nodemanager"
BOTH = f"{MASTER} and {RM}"


@dataclass(frozen=True)
class End:
    """How a job ends under a fault that stays.

    Attributes:
        within: seconds of the client's clock.
        errors: one of these is raised; none: it is done in spite of the fault.
        least: seconds for which the fault is forgiven.
    """

    within: float
    errors: tuple[type[KnitError], ...] = ()
    least: float = 0.0


ENDS = {
    ("launch", RM): End(CALL, AWAY),
    ("launch", HDFS): End(CALL, AWAY),
    ("wait", RM): End(100 + CALL, (WaitTimeout,), 100),
    ("wait", HDFS): End(100 + CALL, (WaitTimeout,)),
    ("wait", MASTER): End(100 + CALL, (WaitTimeout,)),
    ("wait-on", RM): End(300 + 2 * CALL, AWAY, 300),
    ("launch", DATA): End(4 * CALL, AWAY),
    ("logs", NODE): End(CALL),
    ("old-logs", HDFS): End(CALL, AWAY),
    ("old-logs", DATA): End(CALL, AWAY),
    ("wait-ended", HDFS): End(300 + 2 * CALL, AWAY, 300),
    ("logs", RM): End(CALL, AWAY),
    ("logs", HDFS): End(CALL),
    ("logs", MASTER): End(CALL),
    ("kv", RM): End(10),
    ("kv", HDFS): End(10),
    ("kv", MASTER): End(CALL),
    ("kill", RM): End(CALL, AWAY),
    ("kill", HDFS): End(CALL),
    ("kill", MASTER): End(2 * CALL),
    ("kill", BOTH): End(CALL, AWAY),
}
STOPPED = {"kv": End(300 + 3 * CALL, (MasterUnreachable,), 300), "kill": End(3 * CALL)}  # the ApplicationMaster
#: What `make test` runs: two that take a few seconds.
QUICK = {("launch", RM, "refused"), ("kv", MASTER, "black-hole")}


def places(text: str) -> list[str]:
    """The forwarders that have the fault."""
    return text.split(" and ")


class FastClock:
    """Real time, `FASTER` times as fast."""

    def monotonic(self) -> float:
        return time.monotonic() * FASTER

    def time(self) -> float:
        return time.time()  # signatures are checked by others' clocks

    def sleep(self, seconds: float, /) -> None:
        time.sleep(seconds / FASTER)

    def wait(self, signal: Signal, seconds: float) -> None:
        signal.wait(seconds / FASTER)


@contextlib.contextmanager
def hurried(bench: Bench) -> Iterator[Knit]:
    """A client that meets the faults of `client-…` places and gives up ten times as fast; it has met all services."""
    knit = bench.network.client()
    knit.clock = FastClock()
    knit.check()
    knit.staging.check()
    for service in (knit.resourcemanager.http, knit.hdfs.http, knit.nodes, knit.cluster.proxy):
        connect, read = service.endpoint.timeout
        service.endpoint = replace(service.endpoint, timeout=(connect / FASTER, read / FASTER))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("knit_core.hadoop.application_master._READ", 30 / FASTER)
        patch.setattr("knit_core.logs.live.nodemanager._TIMEOUT", (3 / FASTER, 10 / FASTER))
        yield knit
    bench.network.heal()


def known(bench: Bench, knit: Knit, job: str) -> Application:
    """The application for a job: one that has ended, or one of which the client has reached the ApplicationMaster."""
    if job in ("wait-ended", "old-logs"):
        return knit.attach(bench.old().id)
    app = knit.attach(bench.standing().id)
    app.master._connect /= FASTER
    app.kv["known"] = 1
    return app


def ends(act: Callable[[], Any], end: End, knit: Knit) -> None:
    begun = knit.clock.monotonic()
    with pytest.raises(end.errors) if end.errors else contextlib.nullcontext() as told:
        act()
    took = knit.clock.monotonic() - begun
    busy = 3 * FASTER  # the machine may be, for so long
    assert end.least <= took < end.within + busy, f"after {took:.0f} s of its clock, {told}"
    if told is not None and told.type is not WaitTimeout:
        assert told.value.transient
