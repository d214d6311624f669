"""One answer for all who ask at the same time, and for those who ask soon after: blocking calls, in threads of their own.

The api-server's event loop and its own threads are left alone: a cluster that hangs makes this page wait, and nothing else.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

#: An answer counts at least so many times as long as it took to get, within limits: a slow cluster is asked less often.
EASE, MOST_EASE = 10.0, 30.0


class Busy(Exception):
    """Too many calls are under way."""


class Late(Exception):
    """There is no answer yet."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What came back: a value, or an error; `at` is Unix time, `took` seconds."""

    at: float
    took: float
    value: T | None = None
    error: Exception | None = None

    def get(self) -> T:
        """The value, or the error raised."""
        if self.error is not None:
            raise self.error
        assert self.value is not None
        return self.value


class Pool:
    """Threads for blocking calls.

    Parameters:
        threads: so many calls at a time.
        most: so many are under way or wait for a thread; others are refused.
    """

    def __init__(self, name: str, threads: int, most: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threading.BoundedSemaphore(most)

    def start(self, call: Callable[[], T]) -> Future[T]:
        """Begin a call.

        Raises:
            Busy: there are too many.
        """
        if not self._free.acquire(blocking=False):
            raise Busy("Too many requests to the cluster are under way: it answers slowly. Try again in a moment.")
        future = self._threads.submit(call)
        future.add_done_callback(lambda _: self._free.release())
        return future

    def close(self) -> None:
        """No more calls; those under way are waited for."""
        self._threads.shutdown()

    async def run(self, call: Callable[[], T], timeout: float) -> T:
        """Begin a call and wait for it.

        Raises:
            Busy: there are too many.
            Late: it is not over after `timeout` seconds; it goes on.
        """
        return await result_within(self.start(call), timeout)


async def result_within(future: Future[T], timeout: float) -> T:
    """Wait for a call that others may wait for, too.

    Raises:
        Late: it is not over after `timeout` seconds; it goes on.
    """
    waiting = asyncio.wrap_future(future)
    waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # it is known, though nobody waits
    try:
        return await asyncio.wait_for(asyncio.shield(waiting), timeout)
    except asyncio.TimeoutError:
        raise Late(f"The cluster has not answered within {timeout:g} s.") from None


class SingleFlight(Generic[T]):
    """A call whose answer is shared.

    Parameters:
        pool: where it runs.
        call: blocks; what it raises is an answer, too.
        fresh: seconds for which an answer counts.
    """

    def __init__(self, pool: Pool, call: Callable[[], T], fresh: float) -> None:
        self._pool, self._call, self._fresh = pool, call, fresh
        self._lock = threading.Lock()
        self._under_way: Future[Answer[T]] | None = None
        self.last: Answer[T] | None = None
        self.good: Answer[T] | None = None

    async def answer(self, timeout: float, fresh: float | None = None) -> Answer[T]:
        """The answer: one that is fresh enough, else the next one.

        Parameters:
            timeout: seconds to wait for it.
            fresh: seconds, other than those it was made with.

        Raises:
            Busy: there are too many calls.
            Late: it is not there yet.
        """
        with self._lock:
            last, under_way = self.last, self._under_way
            if under_way is None or under_way.done():
                if last is not None and time.time() - last.at - last.took < self._counts(last, fresh):
                    return last
                under_way = self._under_way = self._pool.start(self._run)
        return await result_within(under_way, timeout)

    def forget(self) -> None:
        """The next one who asks gets a new answer."""
        with self._lock:
            self.last = None

    def _counts(self, last: Answer[T], fresh: float | None) -> float:
        wanted = self._fresh if fresh is None else fresh
        return wanted if last.error is not None else max(wanted, min(EASE * last.took, MOST_EASE))

    def _run(self) -> Answer[T]:
        at, began = time.time(), time.monotonic()
        value: T | None = None
        error: Exception | None = None
        try:
            value = self._call()
        except Exception as raised:
            error = raised
        made = Answer(at, time.monotonic() - began, value, error)
        self.last = made
        if error is None:
            self.good = made
        return made
