"""Newer delegation tokens for the applications of waiting tasks, on clusters with Kerberos: see `knit tokens push`.

So an application may run for longer than the tokens of its launch are valid (seven days). A push that fails does not end the
wait; the task's log has the reason.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from knit_airflow.triggers._connection_poll import Connect, ConnectionPoll

if TYPE_CHECKING:
    from knit_core import Application, Knit
    from knit_core.hadoop.token_schedule import TokenLife, TokenSchedule

#: Seconds of a wait before anything is asked, at most: most applications end before.
FIRST_LOOK = 3600.0
#: The same as a part of the maximum life of tokens.
FIRST_PART = 0.25
#: Seconds of a wait before a trigger asks for the cluster's configuration: most waits on a quiet triggerer end before.
ASK_AFTER = 30.0
#: Pushes at the same time over one connection.
PARALLEL = 4
#: Seconds until the next try when the cluster's configuration or the application's report cannot be fetched.
AGAIN = 60.0
#: Level of `logging` and text of a line for the task's log.
Line = tuple[int, str]
_INFO, _WARNING = 20, 30


class TokenPushes:
    """The pushes to one application.

    Parameters:
        began: Unix time at which the wait began.
        clock: returns Unix time.

    Attributes:
        due: Unix time of the next step; None: not known before `expect`.
        over: nothing is left to do.
    """

    def __init__(self, began: float, clock: Callable[[], float] = time.time) -> None:
        self.due: float | None = None
        self.over = False
        self._began, self._clock = began, clock
        self._schedule: TokenSchedule | None = None
        self._last_error = ""

    def expect(self, life: TokenLife | None) -> None:
        """Set the time of the first step by the cluster's tokens; None: it uses none, and nothing is pushed."""
        if life is None:
            self.over = True
        elif self.due is None:
            # Not all at once when a triggerer starts with thousands of waits.
            self.due = self._began + min(FIRST_LOOK, FIRST_PART * life.maximum) * random.uniform(0.5, 1.0)

    def step(self, application: Application, life: TokenLife) -> Line | None:
        """What is due: at first ask when the application was launched, later push. Does not raise. Blocks."""
        from knit_core.errors import KnitError

        try:
            if self._schedule is not None:
                return self._push(application)
            self._begin(application, life)
            return None
        except KnitError as error:
            return self._failed(application.id, error, error.transient)
        except Exception as error:  # by a token provider of another package
            return self._failed(application.id, error, False)

    def _begin(self, application: Application, life: TokenLife) -> None:
        from knit_core.hadoop.token_schedule import TokenSchedule

        report = application.report()
        self.over = report.ended
        self._schedule = TokenSchedule(self._clock())
        self._schedule.begin(report.started_at / 1000 if report.started_at else self._began, life)
        self.due = self._schedule.due

    def _push(self, application: Application) -> Line | None:
        assert self._schedule is not None
        done = application.push_tokens()
        self._schedule.pushed(done, self._clock())
        self.due, self._last_error = self._schedule.due, ""
        return (_INFO, f"{application.id} has new delegation tokens") if done.pushed else None

    def _failed(self, app_id: str, error: Exception, transient: bool) -> Line | None:
        now = self._clock()
        self.due = now + (self._schedule.failed(now, transient=transient) if self._schedule is not None else AGAIN)
        text = f"{type(error).__name__}: {error}"
        if transient or text == self._last_error:
            return None
        self._last_error = text
        return _WARNING, f"{app_id} has no new delegation tokens, which is tried again: {text}"


class WorkerTokenPushes:
    """The pushes while a task waits in a worker.

    Parameters:
        application: of the task.
        log: the task's log.
        clock: returns Unix time.
    """

    def __init__(self, application: Application, log: Any, clock: Callable[[], float] = time.time) -> None:
        self._application, self._log, self._clock = application, log, clock
        self._pushes = TokenPushes(clock(), clock)
        self._life: TokenLife | None = None
        self._again = 0.0

    def tick(self) -> None:
        """Push when it is due. Does not raise; may block for as long as Knit's client retries a call."""
        pushes, now = self._pushes, self._clock()
        if pushes.over or now < (self._again if pushes.due is None else pushes.due):
            return
        if self._life is not None:
            line = pushes.step(self._application, self._life)
            if line is not None:
                self._log.log(*line)
            return
        try:
            self._life = life_of(self._application.cluster.config)
        except Exception:  # the wait meets the same fault, and says so
            self._again = now + AGAIN
        else:
            pushes.expect(self._life)


@dataclass(eq=False)
class Waiting:
    """The application of one trigger, to whose log lines are written in `context`."""

    app_id: str
    pushes: TokenPushes
    log: Any
    context: contextvars.Context


class ConnectionTokenPushes(ConnectionPoll):
    """The pushes to all applications of a connection for which triggers of one event loop wait."""

    def __init__(self, connect: Connect, name: str = "") -> None:
        super().__init__(connect, name)
        self._waiting: set[Waiting] = set()
        self._knit: Knit | None = None
        self._known, self._life = False, None  # type: tuple[bool, TokenLife | None]
        self._again = 0.0

    @contextmanager
    def waiting(self, app_id: str, log: Any) -> Iterator[None]:
        """Push to an application within this context.

        Parameters:
            log: of the trigger.
        """
        one = Waiting(app_id, TokenPushes(time.time()), log, contextvars.copy_context())
        if self._known:
            one.pushes.expect(self._life)
        elif not self._waiting:
            self._again = time.time() + ASK_AFTER
        self._waiting.add(one)
        self._wake()
        try:
            yield
        finally:
            self._waiting.discard(one)
            self._wake()

    async def _run(self) -> None:
        while self._waiting:
            if not self._known and time.time() >= self._again:
                await self._find_out()
            if self._life is not None:
                await self._push(self._life)
            await self._pause(self._until_next())
        self._knit, self._known, self._life = None, False, None

    def _until_next(self) -> float | None:
        """Seconds until something is due; None: nothing."""
        now = time.time()
        if not self._known:
            return max(0.0, self._again - now)
        dues = [one.pushes.due for one in self._waiting if not one.pushes.over and one.pushes.due is not None]
        return max(0.0, min(dues) - now) if dues else None

    async def _find_out(self) -> None:
        """Whether the cluster uses tokens, and how long they are valid."""
        try:
            knit = await self._client()
            self._life = await asyncio.to_thread(life_of, knit.config)
        except Exception:  # the wait meets the same fault, and says so
            self._knit, self._again = None, time.time() + AGAIN
            return
        self._known = True
        for one in self._waiting:
            one.pushes.expect(self._life)

    async def _client(self) -> Knit:
        if self._knit is None:
            self._knit = await self._connect()
        return self._knit

    async def _push(self, life: TokenLife) -> None:
        limit, now = asyncio.Semaphore(PARALLEL), time.time()

        async def push(one: Waiting) -> None:
            async with limit:
                if one in self._waiting:
                    await self._step(one, life)

        due = [one for one in self._waiting if not one.pushes.over and (one.pushes.due or 0.0) <= now]
        await asyncio.gather(*(push(one) for one in due))

    async def _step(self, one: Waiting, life: TokenLife) -> None:
        try:
            application = (await self._client()).attach(one.app_id)
        except Exception:  # Airflow cannot be reached now, or the connection is wrong
            one.pushes.due = time.time() + AGAIN
            return
        line = await asyncio.to_thread(one.pushes.step, application, life)
        if line is not None:
            level, text = line
            one.context.run(one.log.log, level, text)
            if level == _WARNING:
                self._knit = None  # the connection may be corrected


def life_of(config: Any) -> TokenLife | None:
    """How long the cluster's tokens are valid; None: it uses none."""
    from knit_core.hadoop.token_schedule import TokenLife

    return TokenLife.of(config)


def token_pushes(knit_conn_id: str) -> ConnectionTokenPushes:
    """This event loop's pushes over a connection."""
    return ConnectionTokenPushes.of(knit_conn_id)
