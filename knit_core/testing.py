"""A fake cluster in memory, for tests of programs and DAGs that launch with Knit: no Java, no YARN, no network.

    from knit_core.testing import FakeKnit

    knit = FakeKnit()
    knit.on_submit = lambda app: app.succeed({"rows": 3})
    assert launch_and_report(knit) == "3 rows"           # your code, given a Knit
    assert knit.submitted[0].spec.services["main"].instances == 4

Specifications, launch keys, results and errors are those of a real cluster. An application succeeds at once by default. With
`FakeKnit(on_submit=None)` it runs until the test ends it (`succeed`, `fail`, `kill`); its services can be scaled and its
containers ended. Other calls that need an ApplicationMaster or HDFS (key-value store, events, `map`) are missing: use the
embedded cluster for them.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

from knit_core.errors import ApplicationNotFound, KnitError, NotFound, WaitTimeout
from knit_core.logs import LogCursor, LogLine
from knit_core.model.connection_layers import LayerCheck
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
        spec: the complete, checked specification.
        key: the launch key, or None.
        app_id: the application.
    """

    spec: ApplicationSpec
    key: str | None
    app_id: str


class FakeApplication:
    """An application in memory, with the calls of `knit_core.Application` that need no ApplicationMaster.

    Attributes:
        id: application id.
        spec: its specification.
        kills: reasons of the calls of `kill` while it was running.
        lines: the lines that `logs` returns.
        notes: the notes of `write_note`.
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

    # -- calls of the test -----------------------------------------------

    def succeed(self, value: Any = None, *, values: Mapping[str, Mapping[int, Any]] | None = None) -> None:
        """End it with success.

        Args:
            value: the value of its instance; of several instances, a list by rank.
            values: values by service and rank, instead of `value`.
        """
        if values is None and value is not None:
            service, count = next((name, each.instances) for name, each in self.spec.services.items())
            values = {service: {0: value} if count == 1 else dict(enumerate(value))}
        self._end(Outcome.SUCCEEDED, 0, values=values or {})

    def fail(self, exit_code: int = 1, stderr: Sequence[str] = (), *, diagnostics: str = "") -> None:
        """End it without success: its first container exits with this code."""
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

    # -- calls of the program under test -----------------------------------

    def report(self) -> ApplicationReport:
        """The report of the ResourceManager."""
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
        """Its result; None while it runs."""
        return self._result

    def final_result(self, report: ApplicationReport | None) -> Result:
        """The result for a final report."""
        return self._result or Result(self.id, Outcome.LOST, complete=False)

    def wait(
        self,
        timeout: float | str | None = None,
        *,
        poll: float = 0.01,
        on_report: Callable[[ApplicationReport], None] | None = None,
        check: bool = True,
    ) -> Result:
        """Wait for the end. Without a timeout, WaitTimeout is raised after one minute."""
        until = time.monotonic() + (60.0 if timeout is None else seconds(timeout))
        while True:
            if on_report is not None:
                on_report(self.report())
            if self._result is not None:
                return self._result.raise_for_outcome() if check else self._result
            if time.monotonic() >= until:
                raise WaitTimeout(f"{self.id} has not ended: end it in the test with succeed, fail or kill")
            time.sleep(min(poll, 0.05))

    def kill(self, reason: str = "", grace: float | str = 10.0) -> bool:
        """End it; True when it had not ended."""
        if self._result is not None:
            return False
        self.kills.append(reason)
        self._end(Outcome.KILLED, None, diagnostics=reason)
        return True

    def containers(self, **_options: Any) -> list[Container]:
        """Its containers; all run until it ends."""
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
        """Change the number of instances of a service; the new number."""
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
        """The lines of the attribute `lines`: each once, or those after a cursor."""
        if cursor is not None:
            yield from FakeLogs(self, cursor).lines(cursor)
            return
        lines, self.lines = self.lines, []
        yield from lines

    def watch_logs(self, cursor: LogCursor | None = None) -> FakeLogs:
        """The lines of the attribute `lines`, each once."""
        return FakeLogs(self, cursor)

    def log_files(self, **_options: Any) -> Iterator[FakeLogs]:
        """One log with all lines, of one container."""
        yield FakeLogs(self, None)

    def write_note(self, name: str, value: Any) -> None:
        """Store a note."""
        self.notes[name] = json.loads(json.dumps(value))

    def read_note(self, name: str) -> Any:
        """The note of this name; None when there is none."""
        return self.notes.get(name)


class FakeLogs:
    """The lines of a fake application, as the log of its first container."""

    container, instance, attempt, node, stream, yarn = "main_0", 0, 1, "fake", "stdout", "container_1"

    def __init__(self, application: FakeApplication, cursor: LogCursor | None) -> None:
        self._application = application
        self.cursor = LogCursor() if cursor is None else cursor

    @property
    def size(self) -> int:
        """The number of lines."""
        return len(self._application.lines)

    def look(self, seconds: float = 5.0) -> Iterator[LogLine]:
        """The new lines."""
        return self.lines(self.cursor)

    def lines(self, cursor: LogCursor) -> Iterator[LogLine]:
        """The lines after the cursor."""
        for at, text in list(enumerate(self._application.lines))[cursor.at(self.yarn, self.stream) :]:
            cursor.move(self.yarn, self.stream, at + 1)
            yield LogLine(self.container, self.instance, self.node, self.stream, text, self.attempt, self.yarn)

    def leave(self, yarn: str, stream: str) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to close."""


class FakeKnit:
    """A replacement for `knit_core.Knit` in tests.

    Args:
        on_submit: called with each new application; by default it succeeds at once. None: it runs until the test ends it.

    Attributes:
        submitted: the launches, oldest first.
        refuses: an error that the next calls of `submit` raise.
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
        self.config = SimpleNamespace(
            user="me", cluster_property=lambda name, default="": default, on_hdfs=lambda path: path
        )

    def __enter__(self) -> FakeKnit:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to close."""

    def submit(
        self,
        spec: ApplicationSpec | Mapping[str, Any] | str | Sequence[str] | os.PathLike[str],
        *,
        key: str | None = None,
        progress: Callable[[str], None] | None = None,
        checks: bool = True,
        **short: Any,
    ) -> FakeApplication:
        """Launch; the earlier application when its key has one that runs or has succeeded.

        Raises:
            SpecError: the specification is invalid.
        """
        if self.refuses is not None:
            raise self.refuses
        if isinstance(spec, os.PathLike):
            from knit_core.convert import read_path

            spec = read_path(spec)
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
            ApplicationNotFound: it was not launched here.
            BadApplicationId: the text is not an application id.
        """
        found = self._apps.get(str(ApplicationId.parse(app_id)))
        if found is None:
            raise ApplicationNotFound(f"The fake cluster has no record of {app_id}", status=404)
        return found

    def forget(self, app_id: str) -> None:
        """Remove the record of an application, as a ResourceManager does with old ones."""
        self._apps.pop(app_id, None)

    def launched(self, key: str) -> FakeApplication | None:
        """The newest application of a launch key."""
        return self._apps.get(self._claims.get(key, ""))

    def supersede(self, key: str) -> None:
        """Release a launch key."""
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
        """Applications that match, oldest first; by default those that have not ended."""
        chosen = ACTIVE if states is None else {State(str(state).upper()) for state in states}
        wanted = {tag.lower() for tag in tags or ()}
        return [
            report
            for report in self._listed(states=chosen)
            if wanted <= {*report.tags} and name in (None, report.name) and queue in (None, report.queue)
        ]

    def check(self) -> Sequence[str]:
        """Always succeeds."""
        return ["a fake cluster"]

    def diagnose_connection(self, **_options: Any) -> Iterator[LayerCheck]:
        """One layer, which works."""
        yield LayerCheck("configuration", True, "a fake cluster")

    def _listed(self, states: Iterable[State] | None = None, **_filters: Any) -> Sequence[ApplicationReport]:
        reports = [app.report() for app in self._apps.values()]
        return [each for each in reports if states is None or each.state in {*states}]
