"""Waiting tasks give their applications newer delegation tokens, and no failure of that harms a wait."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from knit_airflow import KnitOperator
from knit_airflow.triggers import _token_pushes
from knit_airflow.triggers._token_pushes import ConnectionTokenPushes, TokenPushes, WorkerTokenPushes
from knit_airflow.triggers.application import KnitApplicationTrigger
from knit_core.errors import ConnectionFailed, KnitError, NotAuthorized
from knit_core.hadoop.token_schedule import TokenLife
from knit_core.model.token_status import TokenPush, TokenStatus
from tests.airflow.fake_knit import FakeApplication, FakeKnit
from tests.airflow.fake_task import Task

DAY = 86400.0
WEEK = TokenLife(7 * DAY, DAY)
#: A push is due 0.15 s after the launch.
SHORT = TokenLife(0.2, 0.1)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triggers ask for the cluster's configuration without a pause."""
    monkeypatch.setattr(_token_pushes, "ASK_AFTER", 0.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Log:
    """Keeps lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def log(self, level: int, text: str) -> None:
        self.lines.append((level, text))


class SecureApplication(FakeApplication):
    """Counts pushes; `refusals` are raised first."""

    def __init__(self, clock: Any, app_id: str = "application_1_0001", life: TokenLife | None = WEEK) -> None:
        super().__init__(app_id)
        self.clock, self.began, self.pushed = clock, clock(), list[float]()
        self.refusals: list[Exception] = []
        self.facts = {**self.facts, "started_at": int(clock() * 1000)}
        properties = {"hadoop.security.authentication": "kerberos" if life else "simple"}
        for kind in ("dfs.namenode", "yarn.resourcemanager") if life else ():
            properties[f"{kind}.delegation.token.max-lifetime"] = str(int(life.maximum * 1000))  # type: ignore[union-attr]
            properties[f"{kind}.delegation.token.renew-interval"] = str(int(life.unrenewed * 1000))  # type: ignore[union-attr]
        self.cluster = SimpleNamespace(
            config=SimpleNamespace(
                user="me",
                on_hdfs=lambda path: path,
                cluster_property=lambda name, default="": properties.get(name, default),
            )
        )

    def push_tokens(self) -> TokenPush:
        if self.refusals:
            raise self.refusals.pop(0)
        self.pushed.append(self.clock() - self.began)
        until = int((self.clock() + DAY) * 1000)
        return TokenPush((TokenStatus("HDFS_DELEGATION_TOKEN", "ns", True, 0, until, until),), True, True)


def turn(clock: Clock, until: float, tick: Any, step: float = 300.0) -> None:
    """A wait that polls so often, so long."""
    end = clock.now + until
    while clock.now < end:
        tick()
        clock.now += step


def test_a_task_of_a_month_in_a_worker_pushes_from_the_seventh_day_on() -> None:
    clock, log = Clock(), Log()
    app = SecureApplication(clock)
    pushes = WorkerTokenPushes(app, log, clock)  # type: ignore[arg-type]
    turn(clock, 30 * DAY, pushes.tick)
    assert 6 * DAY < app.pushed[0] < 7 * DAY
    assert all(0 < after - before < DAY for before, after in zip(app.pushed, app.pushed[1:], strict=False))
    assert len(app.pushed) == 47
    assert app.looks == 1
    assert log.lines == [(20, "application_1_0001 has new delegation tokens")] * 47


def test_tokens_are_pushed_in_time_for_a_task_that_attached_late() -> None:
    clock = Clock()
    app = SecureApplication(clock)
    clock.now += 6.9 * DAY
    turn(clock, 0.1 * DAY, WorkerTokenPushes(app, Log(), clock).tick, 60.0)  # type: ignore[arg-type]
    assert 6.9 * DAY < app.pushed[0] < 7 * DAY


def test_a_cluster_without_kerberos_is_asked_nothing_more() -> None:
    clock, asked = Clock(), []
    app = SecureApplication(clock, life=None)
    known = app.cluster.config.cluster_property
    app.cluster.config.cluster_property = lambda *name: asked.append(name) or known(*name)  # type: ignore[func-returns-value]
    turn(clock, 30 * DAY, WorkerTokenPushes(app, Log(), clock).tick)  # type: ignore[arg-type]
    assert len(asked) == 1
    assert app.looks == 0


def test_failures_do_not_end_the_wait_and_a_refusal_is_told_once() -> None:
    clock, log = Clock(), Log()
    app = SecureApplication(clock)
    app.fails = [ConnectionFailed("away"), NotAuthorized("no ticket")]
    app.refusals = [
        ConnectionFailed("away"), NotAuthorized("no ticket"), NotAuthorized("no ticket"), ValueError("a provider's"),
    ]  # fmt: skip
    turn(clock, 7 * DAY, WorkerTokenPushes(app, log, clock).tick, 30.0)  # type: ignore[arg-type]
    assert [each.split("tried again: ")[-1] for _, each in log.lines] == [
        "NotAuthorized: no ticket",  # the report, and the first pushes
        "ValueError: a provider's",
        "application_1_0001 has new delegation tokens",
    ]
    assert 6 * DAY < app.pushed[0] < 6.7 * DAY


def test_an_ended_application_gets_none() -> None:
    clock = Clock()
    app, pushes = SecureApplication(clock), TokenPushes(clock.now, clock)
    app.end("SUCCEEDED")
    pushes.expect(WEEK)
    pushes.step(app, WEEK)  # type: ignore[arg-type]
    assert pushes.over


def knit_of(*apps: SecureApplication) -> Any:
    return SimpleNamespace(config=apps[0].cluster.config, attach=lambda app_id: {app.id: app for app in apps}[app_id])


async def until(condition: Any) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within five seconds")


def test_deferred_tasks_of_a_connection_share_one_client_and_each_application_is_pushed_to() -> None:
    apps = [SecureApplication(time.time, f"application_1_{number:04d}", SHORT) for number in range(50)]
    made: list[Any] = []

    async def connect() -> Any:
        made.append(knit_of(*apps))
        return made[-1]

    async def main() -> None:
        pushes, logs = ConnectionTokenPushes(connect), [Log() for _ in apps]
        with ExitStack() as waits:
            for app, log in zip(apps, logs, strict=True):
                waits.enter_context(pushes.waiting(app.id, log))
            await until(lambda: all(app.pushed for app in apps))
            await until(lambda: all(log.lines for log in logs))
        await until(lambda: pushes._task.done())  # type: ignore[union-attr]
        assert len(made) == 1
        assert [len(app.pushed) for app in apps] == [1] * 50
        assert [log.lines for log in logs] == [[(20, f"{app.id} has new delegation tokens")] for app in apps]

    asyncio.run(main())


def test_a_refused_push_connects_anew_and_faults_of_the_connection_are_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_token_pushes, "AGAIN", 0.01)
    monkeypatch.setattr("knit_core.hadoop.token_schedule._LATER", 0.01)
    app = SecureApplication(time.time, life=SHORT)
    app.refusals = [KnitError("the ticket has ended"), KnitError("the ticket has ended")]
    faults: list[Exception] = [ConnectionFailed("away"), RuntimeError("no such connection")]
    made: list[Any] = []

    async def connect() -> Any:
        if faults:
            raise faults.pop()
        made.append(knit_of(app))
        return made[-1]

    async def main() -> None:
        pushes, log = ConnectionTokenPushes(connect), Log()
        with pushes.waiting(app.id, log):
            await until(lambda: app.pushed and len(log.lines) == 2)
        assert log.lines[0][1].endswith("KnitError: the ticket has ended")
        assert len(made) == 2

    asyncio.run(main())


def test_a_cluster_without_kerberos_costs_its_connection_one_question() -> None:
    app, made = SecureApplication(time.time, life=None), list[Any]()

    async def connect() -> Any:
        made.append(knit_of(app))
        return made[-1]

    async def main() -> None:
        pushes = ConnectionTokenPushes(connect)
        with ExitStack() as waits:
            for _ in range(100):
                waits.enter_context(pushes.waiting(app.id, Log()))
                await asyncio.sleep(0.001)
            assert len(made) == 1

    asyncio.run(main())
    assert app.looks == 0


def test_short_waits_ask_the_cluster_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_token_pushes, "ASK_AFTER", 0.3)
    app, made = SecureApplication(time.time, life=SHORT), list[Any]()

    async def connect() -> Any:
        made.append(knit_of(app))
        return made[-1]

    async def main() -> None:
        pushes = ConnectionTokenPushes(connect)
        for _ in range(20):
            with pushes.waiting(app.id, Log()):
                await asyncio.sleep(0.03)
            await until(lambda: pushes._task.done())  # type: ignore[union-attr]
        assert not made
        with pushes.waiting(app.id, Log()):
            await until(lambda: app.pushed)

    asyncio.run(main())


def test_the_trigger_pushes_while_it_waits(knit: FakeKnit, monkeypatch: pytest.MonkeyPatch) -> None:
    app = SecureApplication(time.time, life=SHORT)
    knit.apps[app.id] = app
    knit.config = app.cluster.config

    async def main() -> Any:
        events = KnitApplicationTrigger("knit_default", app.id, poll_interval=0.05).run()
        fired = asyncio.ensure_future(anext(events))
        await until(lambda: app.pushed)
        app.end("SUCCEEDED")
        return await fired

    assert asyncio.run(main()).payload["outcome"] == "SUCCEEDED"


def test_an_operator_pushes_while_it_waits_in_a_worker(knit: FakeKnit) -> None:
    class Secure(SecureApplication):
        def push_tokens(self) -> TokenPush:
            self.end("SUCCEEDED")  # only a push ends it
            return super().push_tokens()

    def launched(app: FakeApplication) -> None:
        secure = Secure(time.time, app.id, SHORT)
        knit.config, secure.cluster = secure.cluster.config, knit  # type: ignore[assignment]
        knit.apps[app.id] = secure
        found.append(secure)

    found: list[Secure] = []
    knit.on_submit = launched
    submit = knit.submit
    knit.submit = lambda *given, **more: knit.apps[submit(*given, **more).id]  # type: ignore[method-assign]
    knit.attach = lambda app_id: knit.apps[app_id]  # type: ignore[method-assign]
    KnitOperator(task_id="t", command="sleep 1", poll_interval=0.02, deferrable=False).execute(Task().context())
    assert len(found[0].pushed) == 1
