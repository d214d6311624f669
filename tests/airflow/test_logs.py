"""Container logs in a task's log without processes: how much of them, in which order, what is masked, what is bounded.

More than 400 lines: all tests use the fake application and the log below.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import random
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from knit_airflow.hooks.knit import KnitHook
from knit_airflow.logs import masking, triggerer
from knit_airflow.logs.limit import LEAST, LINE, Budget, Tail, cost_of
from knit_airflow.logs.triggerer import LogBatch, LogFollower, SharedFollower
from knit_airflow.logs.worker import NOTE, LiveLines, LogPosition, LogWriter
from knit_core.errors import ConnectionFailed
from knit_core.logs import LogCursor, LogLine
from knit_core.model.units import size
from tests.airflow.fake_knit import FakeApplication, FakeKnit


class Log:
    """A task's log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str, *arguments: Any) -> None:
        self.lines.append(text % arguments if arguments else text)

    warning = debug = info

    def said(self) -> list[str]:
        """What containers have said in it."""
        return [line.partition(" | ")[2] for line in self.lines if " | " in line and "[knit:" not in line]


def app_of(knit: FakeKnit, *lines: str) -> FakeApplication:
    app: FakeApplication = knit.submit("x", key="k")
    app.lines += lines
    return app


# -- how much


def test_a_budget_bounds_the_sum_and_shares_it() -> None:
    chance = random.Random(5)
    for count in (1, 3, 40):
        budget, limit = Budget(1 << 20), 1 << 20
        for _ in range(20_000):
            budget.begin(f"log {chance.randrange(count)}", chance.randrange(LINE, 2 * LINE))
        spent = list(budget.spent.values())
        assert sum(spent) <= limit // 2 + LEAST * count
        ends = budget.ends({log: 10**9 for log in budget.spent})
        assert sum(spent) + sum(ends.values()) <= limit + 2 * LEAST * count
        assert min(ends.values()) >= LEAST


def test_small_ends_are_whole_and_the_others_share_the_rest() -> None:
    given = Budget(300_000).ends({"a": 1000, "b": 10**7, "c": 50_000, "d": 10**6})
    assert given["a"] == 1000 and given["c"] == 50_000
    assert given["b"] == given["d"] == (300_000 - 51_000) // 2


def test_a_limit_of_nothing_writes_nothing() -> None:
    budget = Budget(0)
    assert not budget.begin("a", 1) and budget.ends({"a": 5}) == {"a": 0}


def test_a_tail_keeps_the_last_lines_and_cuts_a_long_one() -> None:
    tail = Tail(3 * cost_of("line 0"))
    for number in range(10):
        tail.add(f"line {number}")
    assert list(tail.lines) == ["line 7", "line 8", "line 9"] and tail.cut
    tail.add("x" * 10**6)
    assert len(tail.lines) == 1 and len(tail.lines[0]) < 10**3


@pytest.mark.parametrize(("text", "count"), [("500 kB", 500_000), (2, 2 << 20), ("2 MiB", 2 << 20), (0, 0), ("0", 0)])
def test_sizes(text: Any, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("text", ["much", -1, "", None, True])
def test_sizes_that_make_no_sense(text: Any) -> None:
    with pytest.raises(ValueError, match=r"number of MiB|must be positive"):
        size(text)


# -- a worker


def test_a_worker_writes_each_line_once_over_looks_and_the_end(knit: FakeKnit) -> None:
    app, log = app_of(knit, "a", "b"), Log()
    writer = LogWriter(app, log, limit=10**5, rest="there")  # type: ignore[arg-type]
    writer.write_new()
    app.lines += ["c"]
    writer.write_new()
    app.lines += ["d"]
    writer.finish()
    assert log.said() == ["a", "b", "c", "d"]


def test_another_process_goes_on_behind_what_was_noted(knit: FakeKnit) -> None:
    app, first, second = app_of(knit, "a", "b"), Log(), Log()
    writer = LogWriter(app, first, limit=10**5, rest="there", by="me")  # type: ignore[arg-type]
    writer.write_new()
    writer.note()
    app.lines += ["c"]
    found = LogPosition.from_json(app.read_note(NOTE))
    assert found.by == "me"
    LogWriter(app, second, limit=10**5, rest="there", position=found).finish()  # type: ignore[arg-type]
    assert first.said() == ["a", "b"] and second.said() == ["c"]


@pytest.mark.parametrize("length", [1, 30, 500])
def test_of_a_flood_the_beginning_and_the_end_are_written(knit: FakeKnit, length: int) -> None:
    """The fake counts a line as one byte, so a real log's numbers are those of the live tests."""
    app, log = app_of(knit, *(f"{number:0{length}d}" for number in range(10_000))), Log()
    writer = LogWriter(app, log, limit=10**5, rest="there")  # type: ignore[arg-type]
    writer.write_new()
    live = len(log.said())
    writer.finish()
    numbers = [int(text) for text in log.said()]
    assert numbers[:live] == list(range(live)) and numbers[-1] == 9_999
    assert numbers[live:] == list(range(10_000 - len(numbers) + live, 10_000))
    assert sum(map(cost_of, log.lines)) < 2 * 10**5
    assert sum("[knit:" in line for line in log.lines) == 2 and sum("there" in line for line in log.lines) == 2
    assert log.lines[live + 1].startswith("::group::0 fake") and log.lines[-1] == "::endgroup::"


class _Drawing:
    """A watch on a container that draws a progress bar."""

    def __init__(self, *texts: str) -> None:
        self.texts, self.cursor = list(texts), LogCursor()

    def look(self, seconds: float) -> Any:
        for text in self.texts:
            self.cursor.move("c", "stderr", self.cursor.at("c", "stderr") + len(text))
            ended = text.endswith("\n")
            yield LogLine("main_0", 0, "n", "stderr", text.rstrip("\n"), 1, "c", ended)


def test_of_a_progress_bar_a_line_is_written_now_and_then_and_the_last() -> None:
    position = LogPosition.nothing()
    watch = _Drawing(*(f"\r{percent}%" for percent in range(100)), "\r100%\n", "done\n", "\r7%", "\n")
    head = LiveLines(watch, 10**5, position, "there")  # type: ignore[arg-type]
    assert list(head.lines(1.0)) == [f"0 n | {text}" for text in ("0%", "100%", "done", "7%")]
    assert position.cursor.offsets == watch.cursor.offsets
    assert position.spent == {"c/stderr": cost_of("0%") + cost_of("100%") + cost_of("done") + cost_of("7%")}


# -- secrets


def test_what_is_masked_travels_sealed_and_only_for_this_application(
    knit: FakeKnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masking, "masked_values", lambda: {"correct horse", "correct horse battery", "a.b*c[d"})
    app: Any = app_of(knit)
    sealed = masking.seal(app)
    assert sealed is not None and "horse" not in sealed
    hide = masking.unseal(app, sealed)
    assert hide("correct horse battery and correct horse") == "*** and ***"
    assert hide("a.b*c[d axb") == "*** axb"
    hide.renew()
    own = knit.user_key.application_secret(app.id)
    assert hide(f"my secret is {own.hex()}") == "my secret is ***"
    other: Any = FakeApplication("application_1_0099", cluster=knit)
    with pytest.raises(ValueError, match="another key"):
        masking.unseal(other, sealed)


def test_containers_are_asked_for_again_after_days(knit: FakeKnit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were replaced have tokens of their own, which must not wait for as long again to be hidden."""
    asked: list[int] = []
    monkeypatch.setattr(masking, "own_secrets", lambda _application: asked.append(looks) or set())
    hide, looks = masking.Masker(app_of(knit), set()), 0
    while looks < 10_000:
        hide.renew()
        looks += 1
    assert len(asked) < 400
    assert 10_000 - asked[-1] <= 30


def test_too_much_to_mask_is_not_passed_on(knit: FakeKnit, monkeypatch: pytest.MonkeyPatch) -> None:
    app: Any = app_of(knit)
    monkeypatch.setattr(masking, "masked_values", lambda: {f"{number:090d}" for number in range(1000)})
    assert masking.seal(app) is None
    monkeypatch.setattr(masking, "masked_values", lambda: None)
    assert masking.seal(app) is None


def test_what_airflow_masks_is_found_but_for_its_own_configuration() -> None:
    from airflow.sdk.log import mask_secret

    from knit_airflow.version_compat import conf, masked_values

    mask_secret("pass (word) 17.*")
    mask_secret(conf.get("core", "fernet_key"))
    found = masked_values()
    assert found is not None and "pass (word) 17.*" in found
    assert conf.get("core", "fernet_key") not in found


# -- a triggerer


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Airflow takes what is logged at once; the sizes that it was asked for."""
    asked: list[int] = []

    async def until_logged(size: int) -> int:
        asked.append(size)
        await asyncio.sleep(0)
        return 0

    monkeypatch.setattr(triggerer, "until_logged", until_logged)
    for name, value in {"SOON": 0.02, "LATE": 0.05, "NOTE_EVERY": 0.1, "BEHIND": 0.3, "AGAIN": 0.05}.items():
        monkeypatch.setattr(triggerer, name, value)
    return asked


def arguments(app: Any, **more: Any) -> dict[str, Any]:
    return {"by": "me", "limit": 10**6, "rest": "there", "sealed": masking.seal(app), "begun": {}, **more}


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.01)


def test_a_trigger_writes_while_it_waits_and_tells_the_task_how_far(knit: FakeKnit, quick: list[int]) -> None:
    app, log = app_of(knit, "a", "b"), Log()

    async def run() -> dict[str, Any]:
        mine = LogFollower("c", app.id, arguments(app), log)
        await until(lambda: len(log.said()) == 2)
        app.lines += ["c"]
        await until(lambda: len(log.said()) == 3)
        await until(lambda: (app.read_note(NOTE) or {}).get("offsets") == {"container_1/stdout": 3})
        return await mine.stop()

    told = asyncio.run(run())
    app.lines += ["d"]
    rest = Log()
    LogWriter(
        app, rest, limit=10**6, rest="there", position=LogPosition.from_json(json.loads(json.dumps(told)))
    ).finish()  # type: ignore[arg-type]
    assert log.said() + rest.said() == ["a", "b", "c", "d"]


def test_lines_that_airflow_has_not_taken_are_written_again(
    knit: FakeKnit, quick: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(size: int) -> int:
        await asyncio.sleep(60)
        return 0

    monkeypatch.setattr(triggerer, "until_logged", never)
    monkeypatch.setattr(triggerer, "FLUSH_TIMEOUT", 0.1)
    app, log = app_of(knit, "a"), Log()

    async def run() -> dict[str, Any]:
        mine = LogFollower("c", app.id, arguments(app), log)
        await until(lambda: bool(log.said()))
        return await mine.stop()

    assert asyncio.run(run()) == {"by": "me", "begun": {}}, "nothing is certain"


def test_only_so_many_are_followed_and_the_next_takes_over(
    knit: FakeKnit, quick: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggerer, "setting", lambda name, default: 1)
    app, first, second = app_of(knit, "a"), Log(), Log()

    async def run() -> None:
        one = LogFollower("c", app.id, arguments(app), first)
        await until(lambda: first.said() == ["a"])
        two = LogFollower("c", app.id, arguments(app, by="another"), second)
        await until(lambda: any("live_logs_tasks" in line for line in second.lines))
        assert second.said() == []
        await one.stop()
        await until(lambda: second.said() == ["a"])
        await two.stop()

    asyncio.run(run())


def test_a_flood_is_followed_no_more_and_others_are(knit: FakeKnit, quick: list[int]) -> None:
    flooding, calm, log = app_of(knit), FakeApplication("application_1_0099", cluster=knit), Log()
    knit.apps[calm.id] = calm
    flooding.lines += ["x" * 200] * 50_000
    calm.lines += ["calm"]
    other = Log()

    async def run() -> None:
        mine = LogFollower("c", flooding.id, arguments(flooding, limit=10**9), log)
        theirs = LogFollower("c", calm.id, arguments(calm), other)
        await until(lambda: other.said() == ["calm"])
        await until(lambda: any("followed here" in line for line in log.lines))
        calm.lines += ["calm again"]
        await until(lambda: other.said() == ["calm", "calm again"])
        told = await mine.stop()
        assert told["offsets"]["container_1/stdout"] == len(log.said())
        await theirs.stop()

    asyncio.run(run())
    assert len(log.said()) < 1000
    assert max(quick) < 6 * triggerer.CHUNK, "Airflow's socket never holds more"


def test_what_cannot_be_unmasked_is_not_written(knit: FakeKnit, quick: list[int]) -> None:
    app, log = app_of(knit, "a"), Log()

    async def run() -> None:
        mine = LogFollower("c", app.id, arguments(app, sealed="gAAAA"), log)
        await until(lambda: any("come when the task resumes" in line for line in log.lines))
        await mine.stop()

    asyncio.run(run())
    assert log.said() == []


def test_a_fault_of_the_cluster_does_not_end_the_following(knit: FakeKnit, quick: list[int]) -> None:
    app, log = app_of(knit, "a"), Log()
    faults = [ConnectionFailed("HDFS does not answer")] * 2
    app.read_note = lambda name: _raise(faults.pop()) if faults else None  # type: ignore[method-assign]

    async def run() -> None:
        mine = LogFollower("c", app.id, arguments(app), log)
        await until(lambda: log.said() == ["a"])
        await mine.stop()

    asyncio.run(run())
    assert len([line for line in log.lines if "HDFS does not answer" in line]) == 1


def _raise(error: Exception) -> None:
    raise error


def test_lines_before_a_fault_are_not_lost(knit: FakeKnit, quick: list[int]) -> None:
    app, log = app_of(knit, "a", "b", "c"), Log()
    faults: list[Exception] = [ConnectionFailed("in the middle of a look")]
    watch = app.watch_logs

    def breaking(cursor: Any) -> Any:
        found = watch(cursor)
        look = found.look

        def broken(seconds: float) -> Any:
            for number, line in enumerate(look(seconds)):
                yield line
                if number == 1 and faults:
                    raise faults.pop()

        found.look = broken  # type: ignore[method-assign]
        return found

    app.watch_logs = breaking  # type: ignore[method-assign]

    async def run() -> None:
        mine = LogFollower("c", app.id, arguments(app), log)
        await until(lambda: "c" in log.said())
        await mine.stop()

    asyncio.run(run())
    assert log.said() == ["a", "b", "c"] and not faults


def test_a_long_line_leaves_in_pieces() -> None:
    async def run() -> list[str]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch = LogBatch(["a" * 10_000, "b"], lambda line: None, lambda: None, contextvars.copy_context(), done)
        return list(batch.pieces())

    pieces = asyncio.run(run())
    assert max(map(len, pieces)) <= triggerer.PIECE + 2 and pieces[-1] == "b"
    assert "".join(piece.removeprefix("… ") for piece in pieces[:-1]) == "a" * 10_000


def test_no_live_logs_where_they_are_switched_off(knit: FakeKnit, monkeypatch: pytest.MonkeyPatch) -> None:
    from knit_airflow.logs import handover

    monkeypatch.setattr(handover, "setting", lambda name, default: 0)
    app: Any = app_of(knit)
    ti = SimpleNamespace(try_number=1)
    assert handover.TaskLogs(app, ti, Log(), None, "").for_trigger() is None


def test_a_trigger_whose_log_stays_on_its_machine_counts_for_nothing(
    knit: FakeKnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from knit_airflow.logs import handover

    app: Any = app_of(knit, "a", "b")
    told = {"by": "x", "offsets": {"container_1/stdout": 1}, "spent": {}}
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)
    unsure = {"by": "x", "begun": {}}  # by a trigger that has written nothing, after one that had
    app.write_note(NOTE, told)
    for kept, before, handed, expected in (
        (True, False, told, ["b"]),
        (False, False, told, ["a", "b"]),
        (True, True, unsure, ["b"]),
        (True, False, unsure, ["a", "b"]),
        (True, False, {**unsure, "begun": told["offsets"]}, ["b"]),
        (True, False, {"by": "x", "noted": True}, ["b"]),
    ):
        monkeypatch.setattr(handover, "trigger_log_is_kept", lambda ti, kept=kept: kept)
        monkeypatch.setattr(handover, "triggerer_before_is_read", lambda ti, since, before=before: before)
        log = Log()
        logs = handover.TaskLogs(app, ti, log, None, "")
        logs.resume(handed)
        logs.finish()
        assert log.said() == expected


@pytest.mark.parametrize("read", [True, False])
def test_another_triggerer_goes_on_only_where_the_log_of_the_first_is_read(
    knit: FakeKnit, quick: list[int], monkeypatch: pytest.MonkeyPatch, read: bool
) -> None:
    monkeypatch.setattr(triggerer, "triggerer_before_is_read", lambda ti, since: read)
    app, log = app_of(knit, "a", "b"), Log()
    app.write_note(NOTE, {"by": "me", "offsets": {"container_1/stdout": 1}, "spent": {}})

    async def run() -> dict[str, Any]:
        mine = LogFollower("c", app.id, arguments(app), log)
        await until(lambda: "b" in log.said())
        return await mine.stop()

    told = asyncio.run(run())
    assert log.said() == (["b"] if read else ["a", "b"])
    assert told["offsets"] == {"container_1/stdout": 2}
    assert ("may come twice" in log.lines[0]) is read


def test_the_file_of_a_triggerer_before_is_told_from_the_own_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    from knit_airflow.version_compat import triggerer_before_is_read

    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=3, try_number=1)
    folder = tmp_path / "dag_id=d/run_id=r/task_id=t/map_index=3"
    folder.mkdir(parents=True)
    now = time.time()
    assert not triggerer_before_is_read(ti, now - 60)
    (folder / "attempt=1.log.trigger.7.log").touch()
    assert not triggerer_before_is_read(ti, now - 60), "its own"
    assert triggerer_before_is_read(ti, now + 60)
    (folder / "attempt=1.log.trigger.8.log").touch()
    assert triggerer_before_is_read(ti, now - 60)
    monkeypatch.setenv("AIRFLOW__LOGGING__REMOTE_LOGGING", "True")
    assert not triggerer_before_is_read(ti, now + 60)


def test_the_file_of_a_trigger_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from knit_airflow.version_compat import trigger_log_is_kept

    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    ti = SimpleNamespace(
        dag_id="d", run_id="manual__2026-01-01T00:00:00+00:00", task_id="t[1]", map_index=-1, try_number=2
    )
    assert not trigger_log_is_kept(ti)
    folder = tmp_path / f"dag_id=d/run_id={ti.run_id}/task_id=t[1]"
    folder.mkdir(parents=True)
    (folder / "attempt=2.log.trigger.7.log").touch()
    assert trigger_log_is_kept(ti)
    ti.try_number = 1
    assert not trigger_log_is_kept(ti)
    monkeypatch.setenv("AIRFLOW__LOGGING__REMOTE_LOGGING", "True")
    assert trigger_log_is_kept(ti)


def test_hooks_are_asked_once_for_all(knit: FakeKnit, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def aget_conn(self: KnitHook) -> FakeKnit:
        asked.append(self.knit_conn_id)
        return knit

    monkeypatch.setattr(KnitHook, "aget_conn", aget_conn)

    async def run() -> None:
        follower = SharedFollower(3)
        assert await follower.knit("c") is await follower.knit("c")

    asyncio.run(run())
    assert asked == ["c"]
