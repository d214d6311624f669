"""The main jobs of the fault matrix: what each does, may be told, and must have done exactly once in the end."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Any

from knit_core import Application, Knit, Outcome
from knit_core.errors import ApplicationNotFound, KnitError, ServiceUnavailable
from knit_core.model.states import State
from tests.cluster_harness import eventually, kill_application, living_applications
from tests.faults.network import FaultyCluster

SMALL = {"memory": 128, "vcores": 1}
LINES = 300
_STANDING = f"for i in range({LINES}): print('line', i)\nprint(flush=True)\nimport time; time.sleep(100000)\n"
_WAITING = """
import knit_container as k, os
k.kv["up"] = 1
k.kv.wait("go", timeout=100)
for i in range(4):
    k.kv.append("many/", i)
k.kv.put("one", k.kv.get("one", 0) + 1)
k.result([value for _, value in sorted(k.kv.prefix("many/").items())])
"""


class Bench:
    """The cluster, its clients, and applications that several jobs use one after another."""

    def __init__(self, network: FaultyCluster) -> None:
        self.network = network
        self.client = network.client()
        self.launcher = network.launcher()
        self.direct = Knit(network.cluster.resourcemanager_url, user="alice")
        self._standing: Application | None = None
        self._old: Application | None = None

    def actor(self, place: str) -> Knit:
        """The client that acts: it meets the faults of `client-…` places, the launcher does not."""
        return self.client if place.startswith("client-") else self.launcher

    def standing(self) -> Application:
        """An application of one container that has printed its lines and goes on; made anew when it has ended."""
        if self._standing is None or self._standing.report().ended:
            app = self.launcher.submit(["python3", "-c", _STANDING], attempts=5, **SMALL)
            app.wait_for_containers(1)
            self._standing = self.direct.attach(app.id)
            eventually(lambda: len(list(app.logs())) > LINES, 30, "its lines")
        return self._standing

    def old(self) -> Application:
        """An application that has ended and whose aggregated logs are there."""
        if self._old is None:
            app = self.launcher.submit(["python3", "-c", _STANDING.rpartition("import")[0]], **SMALL)
            app.wait(timeout=60)
            self._old = self.direct.attach(app.id)
            eventually(lambda: len(list(app.logs())) > LINES, 30, "its aggregated logs")
        return self._old

    def close(self) -> None:
        """End what stands."""
        for app_id in living_applications(self.network.cluster):
            kill_application(self.network.cluster, app_id)
        self.direct.close()


class Job:
    """One main job, done once under a fault: prepare, act until it is done, check, clean up.

    Args:
        bench: where.
        place: of the fault; decides who acts.
    """

    def __init__(self, bench: Bench, place: str) -> None:
        self.bench, self.place, self.knit = bench, place, bench.actor(place)
        self.errors: list[KnitError] = []
        self.prepare()

    def prepare(self) -> None:
        """Before the fault."""

    def act(self) -> None:
        """What a user does; again after a transient error."""
        raise NotImplementedError

    def check(self) -> None:
        """After the fault: what must be so."""
        raise NotImplementedError

    def clean(self) -> None:
        """Leave nothing."""

    @property
    def app_id(self) -> str:
        """The application whose ApplicationMaster it uses; empty: none yet."""
        return ""


class Launch(Job):
    def prepare(self) -> None:
        self.key = uuid.uuid4().hex

    def act(self) -> None:
        self.app = self.knit.submit("sleep 0.2", key=self.key, tags=[f"cell-{self.key}"], **SMALL)
        # The rest of a launch is the ApplicationMaster's; what the client does then is another job.
        eventually(lambda: self._known(), 60, "a container has run")

    def _known(self) -> bool:
        with contextlib.suppress(KnitError):
            return any(c.started_at for c in self.bench.direct.attach(self.app.id).containers(retry_timeout=0))
        return self.bench.direct.attach(self.app.id).report().ended

    def check(self) -> None:
        assert self.bench.direct.attach(self.app.id).wait(timeout=60).outcome is Outcome.SUCCEEDED
        found = self.bench.direct.list(states=list(State), tags=[f"cell-{self.key}"])
        assert [report.id for report in found] == [self.app.id]


class Wait(Job):
    def prepare(self) -> None:
        launched = self.bench.launcher.submit(["python3", "-c", _WAITING], **SMALL)
        self.app = self.knit.attach(launched.id)
        launched.wait_for_containers(1)
        launched.kv.wait("up", timeout=60)
        launched.kv["go"] = 1

    @property
    def app_id(self) -> str:
        return self.app.id

    def act(self) -> None:
        self.result = self.app.wait(timeout=60)

    def check(self) -> None:
        assert self.result.outcome is Outcome.SUCCEEDED
        assert self.result.value == [0, 1, 2, 3]


class Logs(Job):
    def prepare(self) -> None:
        self.app = self.knit.attach(self.find().id)

    def find(self) -> Application:
        return self.bench.standing()

    @property
    def app_id(self) -> str:
        return self.app.id

    def act(self) -> None:
        lines = [line.text for line in self.app.logs(streams=["stdout"], services=["main"])]
        told = [text for text in lines if text.startswith("[knit: ")]
        if told:  # a line among the others says that a node's logs cannot be read now
            raise ServiceUnavailable(told[0])
        self.lines = [text for text in lines if text]

    def check(self) -> None:
        assert self.lines == [f"line {i}" for i in range(LINES)]


class OldLogs(Logs):
    def find(self) -> Application:
        return self.bench.old()


class Map(Job):
    def act(self) -> None:
        self.values = self.knit.map(lambda x: x * x, range(6), workers=1, timeout=90, **SMALL)

    def check(self) -> None:
        assert list(self.values) == [0, 1, 4, 9, 16, 25]


class Kv(Job):
    """From the client, or from a container, which has no caller that could be told of an error."""

    def prepare(self) -> None:
        self.done = 0
        self.inside = self.place.startswith("container-")
        if self.inside:
            self.app = self.knit.submit(["python3", "-c", _WAITING], **SMALL)
            self.app.wait_for_containers(1)
            self.app.kv.wait("up", timeout=60)
        else:
            self.app = self.knit.attach(self.bench.standing().id)
            self.prefix = f"{uuid.uuid4().hex}/"

    @property
    def app_id(self) -> str:
        return self.app.id

    def act(self) -> None:
        if self.inside:
            self.app.kv["go"] = 1
            result = self.bench.direct.attach(self.app.id).wait(timeout=60)
            self.values, self.one = result.value, 1
            return
        while self.done < 4:
            self.app.kv.append(self.prefix, self.done)
            self.done += 1
        self.values = [value for _, value in sorted(self.app.kv.prefix(self.prefix).items())]

    def check(self) -> None:
        assert sorted(set(self.values)) == [0, 1, 2, 3]
        # an error leaves open whether it was done; without one each was done once
        assert len(self.values) - 4 <= len(self.errors)


class Scale(Job):
    def prepare(self) -> None:
        standing = self.bench.standing()
        standing.scale(1)
        self.app = self.knit.attach(standing.id)

    @property
    def app_id(self) -> str:
        return self.app.id

    def act(self) -> None:
        self.app.scale(by=1)

    def check(self) -> None:
        report = self.bench.direct.attach(self.app.id).report()
        assert not report.ended, f"{report.outcome}: {report.diagnostics}"
        standing = self.bench.standing()
        service = standing.services()["main"]
        assert 2 <= service.instances <= 2 + len(self.errors)
        eventually(lambda: standing.services()["main"].running == service.instances, 60, "all run")

    def clean(self) -> None:
        self.bench.standing().scale(1)
        eventually(lambda: self.bench.standing().services()["main"].running == 1, 30, "one is left")


class Kill(Job):
    def prepare(self) -> None:
        launched = self.bench.launcher.submit("sleep 4321", **SMALL)
        launched.wait_for_containers(1)
        self.app = self.knit.attach(launched.id)

    @property
    def app_id(self) -> str:
        return self.app.id

    def act(self) -> None:
        self.app.kill("enough")

    def check(self) -> None:
        assert self.bench.direct.attach(self.app.id).report().outcome is Outcome.KILLED


JOBS: dict[str, Callable[[Bench, str], Job]] = {
    "launch": Launch,
    "wait": Wait,
    "logs": Logs,
    "old-logs": OldLogs,
    "map": Map,
    "kv": Kv,
    "scale": Scale,
    "kill": Kill,
}


def until_done(job: Job, deadline: float, allowed: Callable[[KnitError], bool]) -> None:
    """Act, again after an error that is allowed; the errors stay in `job.errors`.

    Raises:
        KnitError: another one, or one after the deadline (of time.monotonic).
    """
    while True:
        try:
            job.act()
            return
        except KnitError as error:
            if not allowed(error) or time.monotonic() > deadline or isinstance(error, ApplicationNotFound):
                raise
            job.errors.append(error)
            time.sleep(0.2)


def leftovers(network: FaultyCluster, standing: set[str]) -> list[Any]:
    """Applications that live and should not."""
    return [app_id for app_id in living_applications(network.cluster) if app_id not in standing]
