"""Shares the answer of a blocking call among simultaneous callers and, while it is fresh, later ones.

The calls run in separate threads, not on the api-server's event loop or in its thread pool: a cluster that hangs delays only
this page.
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

#: An answer is fresh for at least so many times its own duration, up to so many seconds: fewer requests to a slow cluster.
FRESH_FACTOR, FRESH_LIMIT = 10.0, 30.0


class Busy(Exception):
    """Too many calls are under way."""


class Late(Exception):
    """The call takes longer than the caller waits."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """The outcome of a call: a value or an error. `at` is the Unix time of its start, `took` its seconds."""

    at: float
    took: float
    value: T | None = None
    error: Exception | None = None

    def get(self) -> T:
        """The value; raises the error if there is one."""
        if self.error is not None:
            raise self.error
        assert self.value is not None
        return self.value


class Pool:
    """Threads for blocking calls.

    Parameters:
        threads: maximum number of running calls.
        most: maximum number of running and queued calls; more are refused.
    """

    def __init__(self, name: str, threads: int, most: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threading.BoundedSemaphore(most)

    def start(self, call: Callable[[], T]) -> Future[T]:
        """Start a call.

        Raises:
            Busy: too many calls are under way.
        """
        if not self._free.acquire(blocking=False):
            raise Busy(
                "Too many requests to the cluster are under way, because it answers slowly. Try again in a moment."
            )
        future = self._threads.submit(call)
        future.add_done_callback(lambda _: self._free.release())
        return future

    def close(self) -> None:
        """Wait for the calls under way, and end the threads."""
        self._threads.shutdown()

    async def run(self, call: Callable[[], T], timeout: float) -> T:
        """Start a call and wait for it.

        Raises:
            Busy: too many calls are under way.
            Late: the call takes longer than `timeout` seconds; it continues.
        """
        return await result_within(self.start(call), timeout)


async def result_within(future: Future[T], timeout: float) -> T:
    """Wait for a call that other callers may also wait for.

    Raises:
        Late: the call takes longer than `timeout` seconds; it continues.
    """
    waiting = asyncio.wrap_future(future)
    waiting.add_done_callback(
        lambda done: done.cancelled() or done.exception()
    )  # retrieves the exception when no caller waits any more
    try:
        return await asyncio.wait_for(asyncio.shield(waiting), timeout)
    except asyncio.TimeoutError:
        raise Late(f"The cluster has not answered within {timeout:g} s.") from None


class SingleFlight(Generic[T]):
    """A call whose answer is shared.

    Parameters:
        pool: runs the call.
        call: may block; an exception counts as an answer.
        fresh: seconds for which an answer is used again.
    """

    def __init__(self, pool: Pool, call: Callable[[], T], fresh: float) -> None:
        self._pool, self._call, self._fresh = pool, call, fresh
        self._lock = threading.Lock()
        self._under_way: Future[Answer[T]] | None = None
        self.last: Answer[T] | None = None
        self.good: Answer[T] | None = None

    async def answer(self, timeout: float, fresh: float | None = None) -> Answer[T]:
        """The last answer if it is fresh, else the next one.

        Parameters:
            timeout: seconds to wait for the next answer.
            fresh: as in the constructor; None: its value.

        Raises:
            Busy: too many calls are under way.
            Late: there is no answer within `timeout` seconds.
        """
        with self._lock:
            last, under_way = self.last, self._under_way
            if under_way is None or under_way.done():
                if last is not None and time.time() - last.at - last.took < self._fresh_for(last, fresh):
                    return last
                under_way = self._under_way = self._pool.start(self._run)
        return await result_within(under_way, timeout)

    def forget(self) -> None:
        """Discard the last answer: the next caller gets a new one."""
        with self._lock:
            self.last = None

    def _fresh_for(self, last: Answer[T], fresh: float | None) -> float:
        wanted = self._fresh if fresh is None else fresh
        return wanted if last.error is not None else max(wanted, min(FRESH_FACTOR * last.took, FRESH_LIMIT))

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
