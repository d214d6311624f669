"""`@task.knit`: DAGs of it without a cluster, and functions that really run in YARN's containers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from knit_airflow.decorators.knit import KnitDecoratedOperator
from knit_airflow.exceptions import KnitRefused, ProgramFailed
from knit_airflow.hooks.knit import KnitHook
from knit_airflow.version_compat import AirflowFailException
from knit_core import Environment, Knit
from tests.airflow.fake_knit import FakeKnit
from tests.airflow.fake_task import Task

LOCK = threading.Lock()

if TYPE_CHECKING:
    from knit_core.local import LocalCluster


def operator(function: Any, *args: Any, **arguments: Any) -> KnitDecoratedOperator:
    given = {"task_id": "t", "memory": 128, "poll_interval": 0.5, "name": "decorated", **arguments}
    return KnitDecoratedOperator(python_callable=function, op_args=args, **given)


# ---------------------------------------------------------------------- DAGs


def test_override_and_expand_in_a_dag() -> None:
    from airflow.sdk import DAG, task
    from airflow.sdk.definitions.mappedoperator import MappedOperator

    @task.knit(memory="2 GiB", num_containers=3)
    def train(day: str, rate: float = 0.1) -> list:
        return [day, rate]

    with DAG("d", schedule=None) as dag:
        plain = train("{{ ds }}")
        train.override(task_id="small", memory="1 GiB", queue="science")("x")
        train.partial(day="y").expand(rate=[0.1, 0.2])
    one, small, mapped = dag.get_task("train"), dag.get_task("small"), dag.get_task("train__1")
    assert (one.memory, one.num_containers, one.op_args) == ("2 GiB", 3, ("{{ ds }}",))
    assert (small.memory, small.yarn_queue, small.queue) == ("1 GiB", "science", "default")
    assert isinstance(mapped, MappedOperator)
    assert plain.operator is one
    assert one.task_type == "KnitDecoratedOperator" and one.operator_name == "@task.knit"


def test_env_and_packages_are_one_or_the_other() -> None:
    with pytest.raises(ValueError, match="not both"):
        operator(print, env="x.tar.gz", packages=["numpy"])


def test_packages_get_this_python(knit: FakeKnit) -> None:
    import sys

    asked: list[list[str]] = []
    knit.create_env = lambda name, packages, channels, progress: asked.append(packages)  # type: ignore[attr-defined]
    knit.on_submit = lambda app: app.end("FAILED", "enough")
    here = "python={}.{}".format(*sys.version_info[:2])
    for packages in (["numpy"], ["python>=3.9", "numpy"], ["pythonnet"]):
        with pytest.raises(ProgramFailed, match="enough"):
            operator(len, "abc", packages=packages).execute(Task().context())
    assert asked == [[here, "numpy"], ["python>=3.9", "numpy"], [here, "pythonnet"]]


def test_what_cannot_run_there_is_refused_before_the_launch(knit: FakeKnit) -> None:
    other = Environment("old", "hdfs:///envs/old.tar.gz", "0" * 64, python="3.6.1")
    for function, arguments, word in (
        (lambda: 1, {"env": other.to_dict()}, "3.6.1"),
        (lambda: LOCK.locked(), {}, "pickled"),
        ((lambda ti: ti), {}, "'ti'"),
    ):
        with pytest.raises(KnitRefused, match=word) as refusal:
            operator(function, **arguments).execute(Task(3).context())
        assert isinstance(refusal.value, AirflowFailException), "no retries"
    assert knit.submitted == []


# ---------------------------------------------------------------------- on YARN


@pytest.fixture
def yarn(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Knit]:
    with Knit(cluster.resourcemanager_url, user="alice") as client:

        async def aget_conn(self: KnitHook) -> Knit:
            return client

        monkeypatch.setattr(KnitHook, "get_conn", lambda self: client)
        monkeypatch.setattr(KnitHook, "aget_conn", aget_conn)
        yield client


async def _fire(trigger: Any) -> Any:
    async for event in trigger.run():
        return event.payload


def resume(make: Any, task: Task) -> Any:
    """A deferred try to its end: execute, the trigger's event, execute_complete in a fresh instance."""
    from airflow.sdk.exceptions import TaskDeferred

    with pytest.raises(TaskDeferred) as deferral:
        make().execute(task.context())
    event = asyncio.run(asyncio.wait_for(_fire(deferral.value.trigger), 120))
    return make().execute_complete(task.context(), json.loads(json.dumps(event)))


@pytest.mark.cluster
def test_values_of_ranks_come_back_in_both_modes(yarn: Knit) -> None:
    def work(base: int, scale: int = 1) -> dict[str, Any]:
        import sys

        import knit_container

        if {"airflow", "knit_core"} & set(sys.modules):  # no assert: pytest's own would travel along
            raise RuntimeError("Airflow is not needed here")
        return {"rank": knit_container.instance, "of": knit_container.instances, "value": base * scale}

    task = Task()
    value = operator(work, 6, op_kwargs={"scale": 7}).execute(task.context())
    assert value == {"rank": 0, "of": 1, "value": 42}
    assert task.xcoms["exit_codes"] == {"worker_0": 0}
    assert task.xcoms["resources_used"]["memory_mib_seconds"] > 0

    values = resume(lambda: operator(work, 1, num_containers=2, deferrable=True), Task())
    assert values == [{"rank": rank, "of": 2, "value": 1} for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.cluster
def test_an_exception_fails_the_task_with_its_traceback(yarn: Knit) -> None:
    def broken(count: int) -> None:
        raise ValueError(f"no {count} here")

    task = Task(retries=1)
    with pytest.raises(ProgramFailed, match="no 5 here") as failure:
        resume(lambda: operator(broken, 5, deferrable=True), task)
    assert failure.value.exit_code == 70
    cause = failure.value.__cause__
    assert isinstance(cause, ValueError) and cause.args == ("no 5 here",)
    assert "in broken" in str(cause.__cause__), "the traceback from the container"
    app = yarn.launched(task.store["knit_launch"]["key"])
    assert app is not None and app.id == task.xcoms["application_id"]
    assert str(app.report().outcome) == "FAILED", "so the next try launches anew"
    assert len(app.containers()) == 1, "what the function raises is not tried again by YARN"
