"""A cluster in memory: just enough of `knit_core.Knit` for the provider's own logic (the rest runs on a real one)."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from knit_core.errors import ApplicationFailed, ApplicationKilled, ApplicationNotFound, WaitTimeout
from knit_core.model.report import ApplicationReport
from knit_core.model.result import Container, Result
from knit_core.model.states import ContainerState, Outcome, State
from knit_core.testing import FakeLogs


class FakeResult:
    """What `wait` returns."""

    def __init__(self, outcome: str, value: Any) -> None:
        self.outcome, self.value = outcome, value
        self.exit_code = 0 if outcome == "SUCCEEDED" else 3
        self.started_at, self.finished_at = 1, 2
        self.complete, self.diagnostics, self.timeline = True, "", ()
        self.id, self.values = "application_1_0001", {"main": {0: value}}
        state = ContainerState.SUCCEEDED if outcome == "SUCCEEDED" else ContainerState.FAILED
        self.containers = (Container("main_0", "main", 0, 1, state, exit_code=self.exit_code),)


class FakeApplication:
    """Runs until `end` is called, or for `ends_after` looks."""

    def __init__(self, app_id: str, value: Any = None, cluster: Any = None) -> None:
        self.id, self.value, self.cluster = app_id, value, cluster
        self.lines: list[str] = []
        self.notes: dict[str, Any] = {}
        self.outcome: str | None = None
        self.text = ""
        self.ends_after: int | None = None
        self.fails: list[Exception] = []
        self.fails_at: dict[int, list[Exception]] = {}
        self.looks = 0
        self.kills: list[str] = []
        self.left_result = False
        self.exit_code = 3
        self.facts: dict[str, Any] = {"name": "fake", "containers": 2}
        self.ended = threading.Event()

    def end(self, outcome: str, text: str = "") -> None:
        self.outcome, self.text = outcome, text
        self.ended.set()

    def report(self) -> ApplicationReport:
        self.looks += 1
        self.fails += self.fails_at.pop(self.looks, [])
        if self.fails:
            raise self.fails.pop(0)
        if self.ends_after is not None:
            self.ends_after -= 1
            if self.ends_after < 0:
                self.ended.set()
        over = self.ended.is_set()
        outcome = Outcome(self.outcome) if over and self.outcome else None
        state = State.FINISHED if over else State.RUNNING
        facts = {**self.facts, "diagnostics": self.text if over else "", "page": f"http://rm/cluster/app/{self.id}"}
        if over:
            facts["containers"] = 0
        return ApplicationReport(id=self.id, user="me", queue="default", state=state, outcome=outcome, **facts)

    def final_result(self, report: Any) -> FakeResult:
        found = FakeResult(self.outcome or "LOST", self.value)
        found.complete = self.left_result
        return found

    def result(self) -> FakeResult | None:
        return FakeResult(str(self.outcome), self.value) if self.ended.is_set() else None

    def wait(self, timeout: float | None = None, check: bool = True) -> FakeResult:
        if not self.ended.is_set() and not self.left_result:
            raise WaitTimeout("still running")
        if self.outcome == "SUCCEEDED" or not check:
            return FakeResult(str(self.outcome), self.value)
        if self.outcome == "KILLED":
            raise ApplicationKilled(f"{self.id} was killed")
        code = self.exit_code
        failed = Container("main_0", "main", 0, 1, ContainerState.FAILED, exit_code=code, stderr=("going",))
        result = Result(self.id, Outcome.FAILED, exit_code=code, containers=(failed,))
        raise ApplicationFailed(f"{self.id}: {self.text}", result)

    def containers(self, retry_timeout: float = 0.0) -> list[Container]:
        return []

    def watch_logs(self, cursor: Any = None) -> FakeLogs:
        return FakeLogs(self, cursor)  # type: ignore[arg-type]

    def log_files(self, timeout: float = 60.0) -> Iterator[FakeLogs]:
        yield FakeLogs(self, None)  # type: ignore[arg-type]

    def logs(self, cursor: Any, timeout: float = 60.0) -> Iterator[Any]:
        return FakeLogs(self, cursor).lines(cursor)  # type: ignore[arg-type]

    def write_note(self, name: str, value: Any) -> None:
        self.notes[name] = json.loads(json.dumps(value))

    def read_note(self, name: str) -> Any:
        return self.notes.get(name)

    def kill(self, reason: str = "", grace: float = 10.0) -> bool:
        self.kills.append(reason)
        if not self.ended.is_set():
            self.end("KILLED")
        return True


class FakeKnit:
    """Launch keys as the real one treats them; counts submissions."""

    def __init__(self) -> None:
        self.apps: dict[str, FakeApplication] = {}
        self.claims: dict[str, str] = {}
        self.submitted: list[dict[str, Any]] = []
        self.refuses: Exception | None = None
        self.on_submit: Any = None
        self.resourcemanager = SimpleNamespace(apps=self._listed)
        self.user_key = SimpleNamespace(application_secret=lambda app_id: app_id.encode().ljust(32, b"-"))
        self.config = SimpleNamespace(
            user="me", cluster_property=lambda name, default="": default, on_hdfs=lambda path: path
        )

    def submit(self, spec: Any, *, key: str, progress: Any = None, **arguments: Any) -> FakeApplication:
        if self.refuses is not None:
            raise self.refuses
        earlier = self.launched(key)
        if earlier is not None and earlier.report().outcome in (None, Outcome.SUCCEEDED):
            return earlier
        app = FakeApplication(f"application_1_{len(self.apps) + 1:04d}", {"n": len(self.apps) + 1}, self)
        self.apps[app.id] = app
        self.claims[key] = app.id
        self.submitted.append({"spec": spec, **arguments})
        if self.on_submit is not None:
            self.on_submit(app)
        if progress is not None:
            progress("submitted")
        return app

    def launched(self, key: str) -> FakeApplication | None:
        return self.apps.get(self.claims.get(key, ""))

    def supersede(self, key: str) -> None:
        self.claims.pop(key, None)

    def _listed(self, **_filters: Any) -> list[ApplicationReport]:
        """All that it has not forgotten: filters only make lists shorter."""
        found = []
        for app in self.apps.values():
            with contextlib.suppress(ApplicationNotFound):
                found.append(app.report())
        return found

    def list(self, *, states: Any, types: Any, name: str | None = None, tags: Any = None) -> list[ApplicationReport]:
        fitting = [each for each in self._listed() if name is None or each.name == name]
        return [each for each in fitting if not tags or set(tags) <= set(each.tags)]

    def attach(self, app_id: str) -> FakeApplication:
        if app_id not in self.apps:
            raise ApplicationNotFound(f"{app_id} is not known", status=404)
        self.apps[app_id].cluster = self
        return self.apps[app_id]
