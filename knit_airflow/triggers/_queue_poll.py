"""One request for the headroom of all queues, for all triggers of a triggerer that watch queues over the same connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from knit_airflow.observability import metrics
from knit_airflow.triggers._connection_poll import Connect, ConnectionPoll
from knit_airflow.triggers._shared_poll_state import interval

if TYPE_CHECKING:
    from knit_core.model.queues import QueueHeadroom


def queue_poll(knit_conn_id: str) -> QueuePoll:
    """This event loop's poll of the queues of a connection."""
    return QueuePoll.of(knit_conn_id)


class QueuePoll(ConnectionPoll):
    """The poll of one scheduler on one event loop; it runs while there are listeners."""

    def __init__(self, connect: Connect, name: str = "") -> None:
        super().__init__(connect, name)
        self._listeners: dict[asyncio.Queue[list[QueueHeadroom] | str], float] = {}

    async def listen(self, poll: float) -> AsyncIterator[list[QueueHeadroom] | str]:
        """The headroom of all queues after each request; an error text when the request failed.

        Parameters:
            poll: seconds between two requests; less when another listener asks for less.
        """
        messages: asyncio.Queue[list[QueueHeadroom] | str] = asyncio.Queue()
        self._listeners[messages] = poll
        self._wake()
        try:
            while True:
                yield await messages.get()
        finally:
            del self._listeners[messages]
            self._woken.set()

    async def _run(self) -> None:
        knit, faults, requested = None, 0, 0.0
        while self._listeners:
            left = requested + interval(min(self._listeners.values()), faults) - time.monotonic()
            if left > 0:
                await self._pause(left)
                continue
            requested = time.monotonic()
            self.requests += 1
            answer: list[QueueHeadroom] | str
            try:
                knit = knit or await self._connect()
                answer = await asyncio.to_thread(
                    metrics.polled, self._name, len(self._listeners), "queues", knit.resourcemanager.queue_headroom
                )
                faults = 0
            except Exception as error:  # of the cluster, or of Airflow when it is unreachable: both are transient
                knit, faults, answer = None, min(faults + 1, 16), f"{type(error).__name__}: {error}"
            for messages in list(self._listeners):
                messages.put_nowait(answer)
