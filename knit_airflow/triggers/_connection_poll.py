"""Base of the shared polls: one for each connection and event loop, run by a task only while something waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from knit_airflow.hooks.knit import KnitHook

if TYPE_CHECKING:
    from knit_core import Knit

Connect = Callable[[], Awaitable["Knit"]]
P = TypeVar("P", bound="ConnectionPoll")
_polls: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[type, str], Any]] = weakref.WeakKeyDictionary()


class ConnectionPoll:
    """The poll of one cluster on one event loop.

    Parameters:
        connect: makes the client; called again after a fault, so that a corrected connection takes effect.
        name: of the connection, for metrics.

    Attributes:
        requests: lists requested so far.
    """

    def __init__(self, connect: Connect, name: str = "") -> None:
        self._connect, self._name = connect, name
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self.requests = 0

    @classmethod
    def of(cls: type[P], knit_conn_id: str) -> P:
        """This event loop's poll for a connection."""
        polls = _polls.setdefault(asyncio.get_running_loop(), {})
        if (cls, knit_conn_id) not in polls:
            polls[cls, knit_conn_id] = cls(lambda: KnitHook(knit_conn_id).aget_conn(), knit_conn_id)
        found: P = polls[cls, knit_conn_id]
        return found

    async def _run(self) -> None:
        """Poll until nothing waits for it any more."""
        raise NotImplementedError

    def _wake(self) -> None:
        """Start the task, or end its pause: there is something new to wait for."""
        self._woken.set()
        if self._task is None or self._task.done():
            # A context of its own: the poll must not log into the log of the task that started it.
            self._task = contextvars.Context().run(asyncio.get_running_loop().create_task, self._run())

    async def _pause(self, seconds: float | None) -> None:
        """Sleep until `_wake`, at most so many seconds; None: without limit."""
        self._woken.clear()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
