"""One request for the room of all queues, for all triggers of a triggerer that watch queues over the same connection."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from knit_airflow.hooks.knit import KnitHook
from knit_airflow.observability import metrics
from knit_airflow.triggers._shared_poll_state import LONGEST_PAUSE

if TYPE_CHECKING:
    from knit_core import Knit
    from knit_core.model.queue_headroom import QueueHeadroom

_polls: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, QueuePoll]] = weakref.WeakKeyDictionary()


def queue_poll(knit_conn_id: str) -> QueuePoll:
    """This event loop's poll of the queues of a connection."""
    polls = _polls.setdefault(asyncio.get_running_loop(), {})
    if knit_conn_id not in polls:
        polls[knit_conn_id] = QueuePoll(lambda: KnitHook(knit_conn_id).aget_conn(), knit_conn_id)
    return polls[knit_conn_id]


class QueuePoll:
    """The poll of one scheduler on one event loop; it lives while somebody listens.

    Parameters:
        connect: makes the client; called again after a fault.
        name: of the connection, for metrics.

    Attributes:
        requests: asked so far.
    """

    def __init__(self, connect: Callable[[], Awaitable[Knit]], name: str) -> None:
        self._connect, self._name = connect, name
        self._listeners: dict[asyncio.Queue[list[QueueHeadroom] | str], float] = {}
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self.requests = 0

    async def listen(self, poll: float) -> AsyncIterator[list[QueueHeadroom] | str]:
        """The rooms of all queues each time that they are asked for; a text when they could not be had.

        Parameters:
            poll: seconds between two requests, unless others want them sooner.
        """
        messages: asyncio.Queue[list[QueueHeadroom] | str] = asyncio.Queue()
        self._listeners[messages] = poll
        self._woken.set()
        if self._task is None or self._task.done():
            self._task = contextvars.Context().run(asyncio.get_running_loop().create_task, self._run())
        try:
            while True:
                yield await messages.get()
        finally:
            del self._listeners[messages]
            self._woken.set()

    async def _run(self) -> None:
        knit, faults, asked = None, 0, 0.0
        while self._listeners:
            shortest = min(self._listeners.values())
            pause = max(shortest, min(LONGEST_PAUSE, shortest * 2**faults)) if faults else shortest
            left = asked + pause - time.monotonic()
            if left > 0:
                self._woken.clear()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), left)
                continue
            asked = time.monotonic()
            self.requests += 1
            said: list[QueueHeadroom] | str
            try:
                knit = knit or await self._connect()
                said = await asyncio.to_thread(
                    metrics.polled, self._name, len(self._listeners), "queues", knit.resourcemanager.queue_headroom
                )
                faults = 0
            except Exception as error:  # the cluster's, or Airflow's own when it is out of reach: both may pass
                knit, faults, said = None, min(faults + 1, 16), f"{type(error).__name__}: {error}"
            for messages in list(self._listeners):
                messages.put_nowait(said)
