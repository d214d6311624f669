"""Shared answers: one call for all who ask, errors that do not stick, a hanging cluster that holds up nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from knit_airflow.page.single_flight import Busy, Late, Pool, SingleFlight


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool("test", 2, 3)
    yield made
    made.close()


def test_all_who_ask_at_once_share_one_call_and_those_soon_after_its_answer(pool: Pool) -> None:
    calls: list[int] = []
    gate = threading.Event()

    def call() -> int:
        calls.append(1)
        assert gate.wait(10)
        return len(calls)

    async def many() -> list[int]:
        shared = SingleFlight(pool, call, fresh=60)
        asking = [asyncio.create_task(shared.answer(10)) for _ in range(50)]
        await asyncio.sleep(0)
        gate.set()
        first = [answer.get() for answer in await asyncio.gather(*asking)]
        again = (await shared.answer(10)).get()
        shared.forget()
        return [*first, again, (await shared.answer(10)).get()]

    assert asyncio.run(many()) == [1] * 51 + [2]


def test_an_error_is_an_answer_for_as_long_as_it_is_fresh_and_the_last_good_one_is_kept(pool: Pool) -> None:
    answers: list[int | Exception] = [1, OSError("away"), 2]

    def call() -> int:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def three() -> None:
        shared = SingleFlight(pool, call, fresh=0)
        assert (await shared.answer(10, fresh=0)).get() == 1
        shared.forget()
        broken = await shared.answer(10)
        with pytest.raises(OSError, match="away"):
            broken.get()
        assert shared.good is not None and shared.good.get() == 1
        assert (await shared.answer(10)).get() == 2

    asyncio.run(three())


def test_who_waits_too_long_goes_and_the_call_goes_on_for_the_others(pool: Pool) -> None:
    gate = threading.Event()

    async def two() -> int:
        shared = SingleFlight(pool, lambda: gate.wait(10) and 7, fresh=60)
        with pytest.raises(Late, match=r"within 0\.05 s"):
            await shared.answer(0.05)
        gate.set()
        return int((await shared.answer(10)).get())

    assert asyncio.run(two()) == 7


def test_too_many_calls_are_refused_and_places_come_back(pool: Pool) -> None:
    gate = threading.Event()

    async def four() -> int:
        futures = [pool.start(lambda: gate.wait(10)) for _ in range(3)]
        with pytest.raises(Busy):
            pool.start(lambda: None)
        gate.set()
        for each in futures:
            each.result(10)
        return await pool.run(lambda: 5, 10)

    assert asyncio.run(four()) == 5
