"""A cluster in memory, for tests of programs and DAGs that launch with Knit: no Java, no YARN, no network.

    from knit_core.testing import FakeKnit

    knit = FakeKnit()
    knit.on_submit = lambda app: app.succeed({"rows": 3})
    assert launch_and_report(knit) == "3 rows"           # your code, given a Knit
    assert knit.submitted[0].spec.services["main"].instances == 4

Specifications are checked as in reality, launch keys are treated as in reality, results and errors are Knit's own classes.
An application ends when the test says so (`succeed`, `fail`, `kill`); by default at once, successfully. With
`FakeKnit(on_submit=None)` it runs until then; its services can be scaled and its containers ended. What else needs an
ApplicationMaster or HDFS (key-value store, events, `map`) is not there: use the embedded cluster for that.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

from knit_core.errors import ApplicationNotFound, KnitError, NotFound, WaitTimeout
from knit_core.logs import LogCursor, LogLine
from knit_core.model.ids import ApplicationId
from knit_core.model.report import ApplicationReport
from knit_core.model.representation import shown
from knit_core.model.result import Container, Result
from knit_core.model.service_status import ServiceStatus
from knit_core.model.states import ACTIVE, ContainerState, Outcome, State
from knit_core.model.units import seconds
from knit_core.spec import ApplicationSpec, application_spec

_CLUSTER = 1500000000000


@shown
@dataclass(frozen=True)
class Submission:
    """One call of `submit` that launched something.

    Attributes:
        spec: what was to run, complete and checked.
        key: the launch key, None: without.
        app_id: the application.
    """

    spec: ApplicationSpec
    key: str | None
    app_id: str


class FakeApplication:
    """An application in memory; the calls of `knit_core.Application` that need no ApplicationMaster.

    Attributes:
        id: application id.
        spec: what it runs.
        kills: reasons of the calls of `kill` that found it running.
        lines: what `logs` gives.
        notes: what was left by `write_note`.
    """

    def __init__(self, knit: FakeKnit, app_id: str, spec: ApplicationSpec, tags: Sequence[str]) -> None:
        self.cluster, self.id, self.spec = knit, app_id, spec
        self.kills: list[str] = []
        self.lines: list[str] = []
        self.notes: dict[str, Any] = {}
        self._tags = tuple(tag.lower() for tag in tags)
        self._started = int(time.time() * 1000)
        self._result: Result | None = None
        self._ranks = {name: list(range(service.instances)) for name, service in spec.services.items()}

    def __repr__(self) -> str:
        return f"FakeApplication({self.id!r})"

    # -- what the test decides ---------------------------------------------

    def succeed(self, value: Any = None, *, values: Mapping[str, Mapping[int, Any]] | None = None) -> None:
        """End it well.

        Args:
            value: what its single instance returned; of several, a list by rank.
            values: instead, by service and rank.
        """
        if values is None and value is not None:
            service, count = next((name, each.instances) for name, each in self.spec.services.items())
            values = {service: {0: value} if count == 1 else dict(enumerate(value))}
        self._end(Outcome.SUCCEEDED, 0, values=values or {})

    def fail(self, exit_code: int = 1, stderr: Sequence[str] = (), *, diagnostics: str = "") -> None:
        """End it by a container that exits with this code."""
        self._end(Outcome.FAILED, exit_code, stderr=tuple(stderr), diagnostics=diagnostics)

    def _end(self, outcome: Outcome, code: int | None, **more: Any) -> None:
        stderr, values, diagnostics = more.get("stderr", ()), more.get("values", {}), more.get("diagnostics", "")
        good = outcome is Outcome.SUCCEEDED
        state = ContainerState.SUCCEEDED if good else ContainerState.FAILED if code else ContainerState.KILLED
        now = int(time.time() * 1000)
        containers = tuple(
            Container(
                f"{name}_{rank}",
                name,
                rank,
                1,
                state if good or rank == 0 else ContainerState.KILLED,
                exit_code=code if good or rank == 0 else None,
                started_at=self._started,
                finished_at=now,
                stderr=stderr if rank == 0 else (),
            )
            for name, service in self.spec.services.items()
            for rank in range(service.instances)
        )
        self._result = Result(
            self.id,
            outcome,
            name=self.spec.name,
            user="fake",
            exit_code=code,
            diagnostics=diagnostics,
            containers=containers,
            values=values,
            started_at=self._started,
            finished_at=now,
        )

    # -- what the program under test calls ----------------------------------

    def report(self) -> ApplicationReport:
        """What the ResourceManager would say now."""
        ended = self._result
        asked = sum(map(len, self._ranks.values()))
        state = State.RUNNING if ended is None else State.KILLED if ended.outcome is Outcome.KILLED else State.FINISHED
        return ApplicationReport(
            self.id,
            self.spec.name,
            "fake",
            self.spec.queue or "default",
            state,
            ended.outcome if ended else None,
            progress=0.0 if ended is None else 1.0,
            diagnostics=ended.diagnostics if ended else "",
            started_at=self._started,
            finished_at=ended.finished_at if ended else None,
            containers=0 if ended else asked + 1,
            tags=("knit", *self._tags),
            type="KNIT",
            page=f"http://fake/cluster/app/{self.id}",
        )

    def result(self) -> Result | None:
        """How it ended; None while it runs."""
        return self._result

    def final_result(self, report: ApplicationReport | None) -> Result:
        """The result that belongs to a final report."""
        return self._result or Result(self.id, Outcome.LOST, complete=False)

    def wait(
        self,
        timeout: float | str | None = None,
        *,
        poll: float = 0.01,
        on_report: Callable[[ApplicationReport], None] | None = None,
        check: bool = True,
    ) -> Result:
        """Wait for the end, as the real one does; a wait that nothing in this process can end fails after a minute."""
        until = time.monotonic() + (60.0 if timeout is None else seconds(timeout))
        while True:
            if on_report is not None:
                on_report(self.report())
            if self._result is not None:
                return self._result.raise_for_outcome() if check else self._result
            if time.monotonic() >= until:
                raise WaitTimeout(f"{self.id} has not ended: the test ends it with succeed, fail or kill")
            time.sleep(min(poll, 0.05))

    def kill(self, reason: str = "", grace: float | str = 10.0) -> bool:
        """End it; True when it was still there to be ended."""
        if self._result is not None:
            return False
        self.kills.append(reason)
        self._end(Outcome.KILLED, None, diagnostics=reason)
        return True

    def containers(self, **_options: Any) -> list[Container]:
        """Its containers; they all run until it ends."""
        if self._result is not None:
            return list(self._result.containers)
        return [
            Container(f"{name}_{rank}", name, rank, 1, ContainerState.RUNNING, ready=True, started_at=self._started)
            for name, ranks in self._ranks.items()
            for rank in ranks
        ]

    def services(self) -> dict[str, ServiceStatus]:
        """Its services, all ready."""
        counts = {name: len(ranks) for name, ranks in self._ranks.items()}
        return {name: ServiceStatus(name, "READY", n, n, n, 0, 0, 0, 0, 0) for name, n in counts.items()}

    def scale(self, instances: int | None = None, service: str = "main", *, by: int | None = None) -> int:
        """Change how many instances a service has; the new number."""
        ranks = self._ranks.get(service)
        if ranks is None:
            raise NotFound(f"{self.id} has no service {service!r}", status=404)
        wanted = max(0, len(ranks) + (by or 0) if instances is None else instances)
        first = max(ranks, default=-1) + 1
        ranks[:] = ranks[:wanted] + list(range(first, first + wanted - len(ranks)))
        return wanted

    def kill_container(self, container: str) -> None:
        """End one container; its instance leaves the service."""
        service, _, rank = container.rpartition("_")
        if not rank.isdigit() or int(rank) not in self._ranks.get(service, ()):
            raise NotFound(f"{self.id} has no container {container!r}", status=404)
        self._ranks[service].remove(int(rank))

    def logs(self, follow: bool = False, *, cursor: LogCursor | None = None, **_options: Any) -> Iterator[Any]:
        """The lines that the test put into `lines`; each once, or from a cursor on."""
        if cursor is not None:
            yield from FakeLogs(self, cursor).lines(cursor)
            return
        lines, self.lines = self.lines, []
        yield from lines

    def watch_logs(self, cursor: LogCursor | None = None) -> FakeLogs:
        """The lines that the test put into `lines`."""
        return FakeLogs(self, cursor)

    def log_files(self, **_options: Any) -> Iterator[FakeLogs]:
        """The same; one log of one container has them all."""
        yield FakeLogs(self, None)

    def write_note(self, name: str, value: Any) -> None:
        """Leave a note beside it."""
        self.notes[name] = json.loads(json.dumps(value))

    def read_note(self, name: str) -> Any:
        """The note of this name; None when there is none."""
        return self.notes.get(name)


class FakeLogs:
    """A fake application's lines, as the one log of its first container."""

    container, instance, attempt, node, stream, yarn = "main_0", 0, 1, "fake", "stdout", "container_1"

    def __init__(self, application: FakeApplication, cursor: LogCursor | None) -> None:
        self._application = application
        self.cursor = LogCursor() if cursor is None else cursor

    @property
    def size(self) -> int:
        """Its length: lines count as bytes here."""
        return len(self._application.lines)

    def look(self, seconds: float = 5.0) -> Iterator[LogLine]:
        """What has come."""
        return self.lines(self.cursor)

    def lines(self, cursor: LogCursor) -> Iterator[LogLine]:
        """What lies behind the cursor."""
        for at, text in list(enumerate(self._application.lines))[cursor.at(self.yarn, self.stream) :]:
            cursor.move(self.yarn, self.stream, at + 1)
            yield LogLine(self.container, self.instance, self.node, self.stream, text, self.attempt, self.yarn)

    def leave(self, yarn: str, stream: str) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to close."""


class FakeKnit:
    """Stands in for `knit_core.Knit`.

    Args:
        on_submit: called with each new application; by default it succeeds at once, None: it runs on.

    Attributes:
        submitted: what was launched, oldest first.
        refuses: raised by the next calls of `submit`, as a cluster that refuses would.
    """

    def __init__(self, on_submit: Callable[[FakeApplication], None] | None = FakeApplication.succeed) -> None:
        self.on_submit = on_submit
        self.submitted: list[Submission] = []
        self.refuses: KnitError | None = None
        self._apps: dict[str, FakeApplication] = {}
        self._numbers = itertools.count(1)
        self._claims: dict[str, str] = {}
        self.resourcemanager = SimpleNamespace(
            apps=self._listed, address="http://fake", pending=lambda _app_id: [], nodes=lambda: [], queues=lambda: []
        )
        self.user_key = SimpleNamespace(application_secret=lambda app_id: sha256(app_id.encode()).digest())
        self.config = SimpleNamespace(user="me", cluster_property=lambda name, default="": default)

    def __enter__(self) -> FakeKnit:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to close."""

    def submit(
        self,
        spec: ApplicationSpec | Mapping[str, Any] | str | Sequence[str],
        *,
        key: str | None = None,
        progress: Callable[[str], None] | None = None,
        checks: bool = True,
        **short: Any,
    ) -> FakeApplication:
        """Launch; with a key that has a running or successful application, that one.

        Raises:
            SpecError: as the real one.
        """
        if self.refuses is not None:
            raise self.refuses
        complete = application_spec(spec, **short)
        earlier = self.launched(key) if key is not None else None
        if earlier is not None and earlier.report().outcome in (None, Outcome.SUCCEEDED):
            return earlier
        app_id = str(ApplicationId.parse(f"application_{_CLUSTER}_{next(self._numbers):04d}"))
        app = self._apps[app_id] = FakeApplication(self, app_id, complete, complete.tags)
        if key is not None:
            self._claims[key] = app_id
        self.submitted.append(Submission(complete, key, app_id))
        if progress is not None:
            progress(f"submitted {app_id}")
        if self.on_submit is not None:
            self.on_submit(app)
        return app

    def attach(self, app_id: str) -> FakeApplication:
        """A handle on an application.

        Raises:
            ApplicationNotFound: nothing launched it here.
            BadApplicationId: no id at all.
        """
        found = self._apps.get(str(ApplicationId.parse(app_id)))
        if found is None:
            raise ApplicationNotFound(f"The fake cluster does not know {app_id}", status=404)
        return found

    def forget(self, app_id: str) -> None:
        """From now on the cluster does not know an application, as a ResourceManager forgets old ones."""
        self._apps.pop(app_id, None)

    def launched(self, key: str) -> FakeApplication | None:
        """The newest application of a launch key."""
        return self._apps.get(self._claims.get(key, ""))

    def supersede(self, key: str) -> None:
        """The newest launch with this key no longer counts."""
        self._claims.pop(key, None)

    def list(
        self,
        *,
        states: Iterable[State | str] | None = None,
        tags: Iterable[str] | None = None,
        name: str | None = None,
        queue: str | None = None,
        **_options: Any,
    ) -> Sequence[ApplicationReport]:
        """Applications that fit, oldest first; by default those that run."""
        chosen = ACTIVE if states is None else {State(str(state).upper()) for state in states}
        wanted = {tag.lower() for tag in tags or ()}
        return [
            report
            for report in self._listed(states=chosen)
            if wanted <= {*report.tags} and name in (None, report.name) and queue in (None, report.queue)
        ]

    def check(self) -> Sequence[str]:
        """Always good."""
        return ["a fake cluster"]

    def _listed(self, states: Iterable[State] | None = None, **_filters: Any) -> Sequence[ApplicationReport]:
        reports = [app.report() for app in self._apps.values()]
        return [each for each in reports if states is None or each.state in {*states}]
