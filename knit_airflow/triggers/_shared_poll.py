"""One poll of applications for all triggers of a triggerer with the same connection: the driver of `SharedPollState`.

All triggers of a triggerer run on one event loop. The first wait starts a task that requests a list from the ResourceManager
once per interval (the shortest that any wait asks for) and hands the answer to all waits; the task ends with the last wait.
It keeps no other state: after a restart of the triggerer its triggers join again.

Airflow's own shared streams (`BaseEventTrigger.open_shared_stream`) do not fit: their poll does not know its listeners, so it
can neither narrow its list nor look up missing applications once for all, and Airflow fails a listener that falls behind.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from knit_airflow.observability import metrics
from knit_airflow.triggers._application_wait import ApplicationWait, Done, Status, read_status
from knit_airflow.triggers._connection_poll import Connect, ConnectionPoll
from knit_airflow.triggers._shared_poll_state import Answers, Query, SharedPollState, Target

if TYPE_CHECKING:
    from knit_core import Knit
    from knit_core.model.report import ApplicationReport

#: Applications that are looked up at the same time.
PARALLEL_LOOKUPS = 4
#: At most so many are looked up after one list; the others follow after the next lists.
LOOKUPS = 100


def shared_poll(knit_conn_id: str) -> SharedPoll:
    """This event loop's poll of the applications of a connection."""
    return SharedPoll.of(knit_conn_id)


class SharedPoll(ConnectionPoll):
    """The poll of one cluster's applications on one event loop.

    Attributes:
        lookups: applications looked up one by one so far.
    """

    def __init__(self, connect: Connect, name: str = "") -> None:
        super().__init__(connect, name)
        self._state = SharedPollState()
        self._messages: dict[object, asyncio.Queue[Status | tuple[str, Done]]] = {}
        self._lists: dict[object, asyncio.Queue[Status | list[ApplicationReport]]] = {}
        self._knit: Knit | None = None
        self._polled = 0.0
        self._next_lookup = 0
        self.lookups = 0

    @property
    def waiting(self) -> int:
        """The number of waits and listeners."""
        return len(self._state)

    async def wait(
        self, target: Target, wait: ApplicationWait, on_status: Callable[[Status], None] | None = None
    ) -> tuple[str, Done]:
        """Wait; returns the application's id (empty: none was found) and how the wait ended.

        Parameters:
            on_status: called with each new status, in the caller's own task (and log).
        """
        token = object()
        messages = self._messages[token] = asyncio.Queue()
        self._state.join(token, target, wait)
        self._wake()
        try:
            while True:
                message = await messages.get()
                if isinstance(message, tuple):
                    return message
                if on_status is not None:
                    on_status(message)
        finally:
            self._state.leave(token)
            del self._messages[token]

    async def listen(self, poll: float) -> AsyncIterator[Status | list[ApplicationReport]]:
        """Every list from now on, and a `Status` for a fault; the first list is complete.

        Parameters:
            poll: seconds between two lists; less when another wait asks for less.
        """
        token = object()
        lists = self._lists[token] = asyncio.Queue()
        self._state.listen(token, poll)
        self._wake()
        try:
            while True:
                yield await lists.get()
        finally:
            self._state.leave(token)
            del self._lists[token]

    async def _run(self) -> None:
        """Poll at each interval; deadlines are kept while a poll is under way, however long it takes."""
        poll: asyncio.Task[None] | None = None
        try:
            while len(self._state):
                if poll is not None and poll.done():
                    poll = None
                if poll is None and self._state.poll_due(self._polled, time.time()):
                    self._polled = time.time()
                    poll = asyncio.get_running_loop().create_task(self._poll())
                self._deliver(self._state.expired(time.time()))
                pause = self._state.pause(math.inf if poll is not None else self._polled, time.time())
                await self._pause(None if math.isinf(pause) else pause)
        finally:
            if poll is not None:
                poll.cancel()

    async def _poll(self) -> None:
        try:
            if not await self._request() and self._knit is not None:
                # Refused with a client made earlier: its connection may have been corrected since.
                self._knit = None
                await self._request()
        except Exception as error:
            # Airflow itself may be unreachable; an error here must not end the wait of a thousand tasks.
            self._fail(Status(f"{type(error).__name__}: {error}", seen=False))
        finally:
            self._woken.set()

    async def _request(self) -> bool:
        """Request one list, then look up what it lacks; False when it was refused and no wait has been informed yet."""
        from knit_core.errors import KnitError

        fresh = self._knit is None
        try:
            if self._knit is None:
                self._knit = await self._connect()
            query = self._state.query(time.time())
            self.requests += 1
            reports = await asyncio.to_thread(
                metrics.polled, self._name, len(self._state), "applications", _list, self._knit, query
            )
        except KnitError as error:
            if not fresh and not error.transient:
                return False
            self._fail(Status(str(error), seen=False, refused=not error.transient))
            return True
        answers = self._state.on_list(query, reports, time.time())
        self._deliver(answers)
        for token in self._state.listeners(query):
            self._lists[token].put_nowait(reports)
        if answers.missing:
            await self._look_up(answers.missing)
        return True

    def _fail(self, status: Status) -> None:
        self._knit = None
        self._deliver(self._state.on_error(status, time.time()))
        for lists in self._lists.values():
            lists.put_nowait(status)

    async def _look_up(self, missing: list[str]) -> None:
        """Request each application by itself, LOOKUPS at most, beginning where the last call ended."""
        begin = self._next_lookup % len(missing) if len(missing) > LOOKUPS else 0
        chosen = (missing[begin:] + missing[:begin])[:LOOKUPS]
        self._next_lookup = begin + len(chosen)
        limit = asyncio.Semaphore(PARALLEL_LOOKUPS)
        knit = self._knit

        async def one(app_id: str) -> None:
            async with limit:
                self.lookups += 1
                status = await asyncio.to_thread(_read_status, knit, app_id)
            self._deliver(self._state.on_status(app_id, status, time.time()))

        await asyncio.gather(*(one(each) for each in chosen))

    def _deliver(self, answers: Answers) -> None:
        for token, status in answers.news.items():
            self._messages[token].put_nowait(status)
        for token, done in answers.done.items():
            self._messages[token].put_nowait(done)


def _list(knit: Knit, query: Query) -> list[ApplicationReport]:
    from knit_core.model.states import ENDED, State

    return knit.resourcemanager.apps(
        states=list(State) if query.whole else ENDED,
        types=query.types or None,
        started_since=query.started_since,
        finished_since=query.finished_since,
    )


def _read_status(knit: Any, app_id: str) -> Status:
    try:
        return read_status(knit.attach(app_id))
    except Exception as error:
        from knit_core.errors import KnitError

        transient = error.transient if isinstance(error, KnitError) else True
        return Status(f"{type(error).__name__}: {error}", seen=False, refused=not transient)
