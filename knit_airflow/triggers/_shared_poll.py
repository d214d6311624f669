"""One poll for all triggers of a triggerer that wait on the same connection: the driver of `SharedPollState`.

All triggers of a triggerer run on one event loop. The first that waits starts a task which asks the ResourceManager for
a list once per interval (the shortest that any of them asked for) and tells everybody; with the last one it ends.
Nothing is kept anywhere else: after a restart of the triggerer its triggers join anew.

Airflow's own shared streams (`BaseEventTrigger.open_shared_stream`) do not fit: there the poll cannot know who listens,
so it can neither narrow its list nor look up once what is missing, and a listener that falls behind is failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from knit_airflow.hooks.knit import KnitHook
from knit_airflow.observability import metrics
from knit_airflow.triggers._application_wait import ApplicationWait, Done, Status, read_status
from knit_airflow.triggers._shared_poll_state import Answers, Query, SharedPollState, Target

if TYPE_CHECKING:
    from knit_core import Knit
    from knit_core.model.report import ApplicationReport

#: Applications that are looked up at the same time.
ABREAST = 4
#: At most so many are looked up after one list; the others come after the next ones.
LOOKUPS = 100

Connect = Callable[[], Awaitable["Knit"]]
_polls: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedPoll]] = weakref.WeakKeyDictionary()


def shared_poll(knit_conn_id: str) -> SharedPoll:
    """This event loop's poll for a connection."""
    polls = _polls.setdefault(asyncio.get_running_loop(), {})
    if knit_conn_id not in polls:
        polls[knit_conn_id] = SharedPoll(lambda: KnitHook(knit_conn_id).aget_conn(), knit_conn_id)
    return polls[knit_conn_id]


class SharedPoll:
    """The poll of one cluster on one event loop.

    Parameters:
        connect: makes the client; called again after a fault, so that a connection that was corrected is noticed.
        name: of the connection, for metrics.

    Attributes:
        requests: lists asked for so far.
        lookups: applications looked up one by one so far.
    """

    def __init__(self, connect: Connect, name: str = "") -> None:
        self._connect = connect
        self._name = name
        self._state = SharedPollState()
        self._messages: dict[object, asyncio.Queue[Status | tuple[str, Done]]] = {}
        self._lists: dict[object, asyncio.Queue[Status | list[ApplicationReport]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._knit: Knit | None = None
        self._polled = 0.0
        self._turn = 0
        self.requests = 0
        self.lookups = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._state)

    async def wait(
        self, target: Target, waiting: ApplicationWait, say: Callable[[Status], None] | None = None
    ) -> tuple[str, Done]:
        """Wait with all the others; the application's id (empty: none was found) and how the waiting ended.

        Parameters:
            say: told what is new, in the caller's own task (and log).
        """
        token = object()
        messages = self._messages[token] = asyncio.Queue()
        self._state.join(token, target, waiting)
        self._wake()
        try:
            while True:
                message = await messages.get()
                if isinstance(message, tuple):
                    return message
                if say is not None:
                    say(message)
        finally:
            self._state.leave(token)
            del self._messages[token]

    async def listen(self, poll: float) -> AsyncIterator[Status | list[ApplicationReport]]:
        """Every list from now on, and a `Status` for a fault; the first list is whole.

        Parameters:
            poll: seconds between two lists, unless others want them sooner.
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

    def _wake(self) -> None:
        self._woken.set()
        if self._task is None or self._task.done():
            # A context of its own: what the poll logs is not for the log of the task that happened to be first.
            self._task = contextvars.Context().run(asyncio.get_running_loop().create_task, self._run())

    async def _run(self) -> None:
        """Poll when it is time; deadlines are kept while a poll is under way, however long that takes."""
        poll: asyncio.Task[None] | None = None
        try:
            while len(self._state):
                if poll is not None and poll.done():
                    poll = None
                if poll is None and self._state.poll_due(self._polled, time.time()):
                    self._polled = time.time()
                    poll = asyncio.get_running_loop().create_task(self._poll())
                self._deliver(self._state.expired(time.time()))
                self._woken.clear()
                pause = self._state.pause(math.inf if poll is not None else self._polled, time.time())
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), None if math.isinf(pause) else pause)
        finally:
            if poll is not None:
                poll.cancel()

    async def _poll(self) -> None:
        try:
            if not await self._ask() and self._knit is not None:
                # Refused with a client made earlier: its connection may have been corrected since.
                self._knit = None
                await self._ask()
        except Exception as error:
            # Airflow itself may be out of reach; nothing that goes wrong here may end the wait of a thousand tasks.
            self._broken(Status(f"{type(error).__name__}: {error}", seen=False))
        finally:
            self._woken.set()

    async def _ask(self) -> bool:
        """One list, and what it has not; False when it was refused and nobody was told yet."""
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
            self._broken(Status(str(error), seen=False, refused=not error.transient))
            return True
        answers = self._state.on_list(query, reports, time.time())
        self._deliver(answers)
        for token in self._state.listeners(query):
            self._lists[token].put_nowait(reports)
        if answers.missing:
            await self._look_up(answers.missing)
        return True

    def _broken(self, seen: Status) -> None:
        self._knit = None
        self._deliver(self._state.on_error(seen, time.time()))
        for lists in self._lists.values():
            lists.put_nowait(seen)

    async def _look_up(self, missing: list[str]) -> None:
        """Ask for each by itself, a hundred at most, beginning where the last time ended."""
        begin = self._turn % len(missing) if len(missing) > LOOKUPS else 0
        chosen = (missing[begin:] + missing[:begin])[:LOOKUPS]
        self._turn = begin + len(chosen)
        gate = asyncio.Semaphore(ABREAST)
        knit = self._knit

        async def one(app_id: str) -> None:
            async with gate:
                self.lookups += 1
                seen = await asyncio.to_thread(_read_status, knit, app_id)
            self._deliver(self._state.on_status(app_id, seen, time.time()))

        await asyncio.gather(*(one(each) for each in chosen))

    def _deliver(self, answers: Answers) -> None:
        for token, news in answers.news.items():
            self._messages[token].put_nowait(news)
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
