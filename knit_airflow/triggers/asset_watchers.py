"""Triggers of asset watchers: a DAG starts when an application ends, or when a queue has headroom.

    finished = Asset("exports", watchers=[AssetWatcher(name="ended", trigger=KnitApplicationEnded(tag="export"))])

    @dag(schedule=[finished])
    ...

They share the requests of all other triggers (`_shared_poll`, `_queue_poll`). The events they have fired are recorded in the
state store of their asset: a restart of the triggerer loses no event, and repeats one only when Airflow was storing it
(`_asset_events`). Each trigger is a shared stream of its own, because Airflow tells a stream's producer which events are stored.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from knit_airflow.hooks.knit import KnitHook
from knit_airflow.observability import metrics
from knit_airflow.tags import tag_of_task
from knit_airflow.triggers._application_wait import Status
from knit_airflow.triggers._asset_events import EndedApplications, HeadroomEdge
from knit_airflow.triggers._queue_poll import queue_poll
from knit_airflow.triggers._shared_poll import shared_poll
from knit_airflow.triggers._shared_poll_state import Target
from knit_airflow.version_compat import BaseEventTrigger, SharedStreamProducer, TriggerEvent, deployment, state_stores

if TYPE_CHECKING:
    from knit_core.model.queues import QueueHeadroom
    from knit_core.model.report import ApplicationReport

OUTCOMES = ("SUCCEEDED", "FAILED", "KILLED")


class _Watcher(BaseEventTrigger):
    """What both have in common: how answers of the cluster become events, and the memory."""

    poll_interval: float
    knit_conn_id: str

    def _arguments(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def _source(cls, kwargs: Mapping[str, Any]) -> AsyncIterator[Any]:
        """The answers of the cluster from now on; a text for a failed request."""
        raise NotImplementedError

    def _machine(self, memory: Any) -> Any:
        """`EndedApplications` or `HeadroomEdge`, continued from a memory."""
        raise NotImplementedError

    def _events(self, machine: Any, answer: Any) -> list[dict[str, Any]]:
        """The events that an answer leads to."""
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which another triggerer makes the same trigger."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self._arguments()

    def shared_stream_key(self) -> Hashable:
        """A stream of its own for each trigger; the requests are shared by the polls."""
        path, arguments = self.serialize()
        return path, json.dumps(arguments, sort_keys=True)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """The producer, which Airflow informs of stored events."""
        return _Producer(cls._source(kwargs))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """The events; each is recorded before Airflow gets it, and again when Airflow has stored it."""
        store = _Memory(self)
        machine = self._machine(await store.load())
        unstored: dict[int, list[dict[str, Any]]] = {}
        last_error = ""
        async for number, answer in shared_stream:
            if answer is _STORED:
                events = unstored.pop(number, [])
                machine.stored(events)
                if events:
                    await store.save(machine.state())
                continue
            if isinstance(answer, str):
                if answer != last_error:
                    self.log.warning("%s cannot query the cluster: %s", type(self).__name__, answer)
                last_error = answer
                continue
            last_error = ""
            events = self._events(machine, answer)
            await store.save(machine.state())
            if events:
                unstored[number] = events
            for event in events:
                metrics.fired(type(self).__name__)
                yield TriggerEvent({**event, "connection": self.knit_conn_id})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Without Airflow's shared streams, which report stored events: each counts as stored at once."""
        events = self.filter_shared_stream(_stored_at_once(self._source(self._arguments())))
        async for event in events:
            yield event


class KnitApplicationEnded(_Watcher):
    """An event for every YARN application that ends and matches, whether Knit launched it or not.

    The event's payload (in `triggering_asset_events` under `extra["payload"]`) has `application_id`, `name`, `user`, `queue`,
    `type`, `outcome`, `tags`, `started_at` and `finished_at` (ms since the epoch), `diagnostics`, `page`, `connection`, and
    `again`: True when the event may have been fired before, because a triggerer died while Airflow stored it.

    Applications that had ended before the watcher's first poll have no event. The end of an application while no triggerer
    runs is found by the next triggerer, as long as the ResourceManager still lists the application.

    Parameters:
        tag: of the application; YARN writes tags in lower case.
        name: instead, its name.
        launched_by: instead, a KnitOperator's task, `{"dag_id": …, "task_id": …}`, in any run: needs
            `[knit] deployment` where the DAG is parsed and where it ran.
        outcomes: of "SUCCEEDED", "FAILED", "KILLED"; by default only the first.
        knit_conn_id: the connection.
        poll_interval: seconds between two polls; one request for all triggers of a triggerer.

    Raises:
        ValueError: not exactly one of tag, name and launched_by; an unknown outcome; no deployment.
    """

    def __init__(
        self,
        tag: str | None = None,
        name: str | None = None,
        launched_by: Mapping[str, str] | None = None,
        outcomes: Sequence[str] = ("SUCCEEDED",),
        knit_conn_id: str = KnitHook.default_conn_name,
        poll_interval: float = 10.0,
    ) -> None:
        super().__init__()
        if sum(each is not None for each in (tag, name, launched_by)) != 1:
            raise ValueError("KnitApplicationEnded: give exactly one of tag, name and launched_by")
        unknown = sorted({*outcomes} - {*OUTCOMES})
        if unknown or not outcomes:
            raise ValueError(f"KnitApplicationEnded: outcomes are of {', '.join(OUTCOMES)}, not {unknown or 'none'}")
        self.tag = _tag_of(launched_by) if launched_by is not None else tag
        self.name = name
        self.outcomes = sorted(outcomes)
        self.knit_conn_id = knit_conn_id
        self.poll_interval = poll_interval

    def _arguments(self) -> dict[str, Any]:
        names = ("tag", "name", "outcomes", "knit_conn_id", "poll_interval")
        return {name: getattr(self, name) for name in names}

    @classmethod
    async def _source(cls, kwargs: Mapping[str, Any]) -> AsyncIterator[list[ApplicationReport] | str]:
        async for answer in shared_poll(kwargs["knit_conn_id"]).listen(kwargs["poll_interval"]):
            yield answer.text if isinstance(answer, Status) else answer

    def _machine(self, memory: Any) -> EndedApplications:
        target = Target(name=self.name, tag=self.tag)
        return EndedApplications(lambda report: target.fits(report) and str(report.outcome) in self.outcomes, memory)

    def _events(self, machine: EndedApplications, answer: list[ApplicationReport]) -> list[dict[str, Any]]:
        return machine.on_list(answer)


class KnitQueueHasRoom(_Watcher):
    """One event each time a YARN queue that was full has headroom again.

    The headroom is what the queue may still take up to its maximum capacity, limited by what its parent queues and the cluster
    have left, less what applications of the queue already wait for. The event's payload has `queue` (its path), `memory` (MiB)
    and `vcores` of the headroom, `at` (Unix time), `connection`, and `again`: True when it may have been fired before.

    Parameters:
        queue: its path or the last part of it.
        memory: of one container, in MiB or as "8 GiB".
        vcores: of one container; 0: they are not checked.
        containers: the headroom has to suffice for so many. Whether they fit on single nodes is not checked.
        margin: part of that, 0.0 to 1.0, that has to be missing for the queue to count as full.
        settle: seconds for which the headroom has to last without interruption.
        pause: minimum seconds between two events.
        knit_conn_id: the connection.
        poll_interval: seconds between two polls; one request for all triggers of a triggerer that watch queues.

    Raises:
        ValueError: neither memory nor vcores, or a number out of range.
    """

    def __init__(
        self,
        queue: str,
        memory: int | str = 0,
        vcores: int = 0,
        containers: int = 1,
        margin: float = 0.1,
        settle: float = 0.0,
        pause: float = 300.0,
        knit_conn_id: str = KnitHook.default_conn_name,
        poll_interval: float = 10.0,
    ) -> None:
        from knit_core.model.units import mebibytes

        super().__init__()
        wanted = mebibytes(memory) if memory else 0
        if not (wanted or vcores) or vcores < 0 or containers < 1 or not 0 <= margin < 1 or settle < 0 or pause < 0:
            raise ValueError(
                "KnitQueueHasRoom: give memory or vcores (of one container), containers of at least 1, a margin from 0.0 to "
                f"below 1.0, settle and pause in seconds; not {memory=}, {vcores=}, {containers=}, {margin=}, {settle=}, {pause=}"
            )
        self.queue = queue
        self.memory = wanted
        self.vcores = vcores
        self.containers = containers
        self.margin = margin
        self.settle = settle
        self.pause = pause
        self.knit_conn_id = knit_conn_id
        self.poll_interval = poll_interval

    def _arguments(self) -> dict[str, Any]:
        names = (
            "queue",
            "memory",
            "vcores",
            "containers",
            "margin",
            "settle",
            "pause",
            "knit_conn_id",
            "poll_interval",
        )
        return {name: getattr(self, name) for name in names}

    @classmethod
    async def _source(cls, kwargs: Mapping[str, Any]) -> AsyncIterator[list[QueueHeadroom] | str]:
        async for answer in queue_poll(kwargs["knit_conn_id"]).listen(kwargs["poll_interval"]):
            yield answer

    def _machine(self, memory: Any) -> HeadroomEdge:
        wanted = self.memory * self.containers, self.vcores * self.containers
        edge = HeadroomEdge(*wanted, margin=self.margin, settle=self.settle, pause=self.pause)
        edge.remember(memory)
        return edge

    def _events(self, machine: HeadroomEdge, answer: list[QueueHeadroom]) -> list[dict[str, Any]]:
        from knit_core.model.queues import headroom_in

        return machine.on_headroom(headroom_in(answer, self.queue), time.time())


_STORED = "stored in Airflow"


class _Producer(SharedStreamProducer):
    """Numbers the answers of the source; reports on the same stream which of them Airflow has stored."""

    def __init__(self, source: AsyncIterator[Any]) -> None:
        self._source = source
        self._out: asyncio.Queue[Any] = asyncio.Queue()

    async def open_stream(self) -> AsyncIterator[tuple[Any, int | None]]:
        """Items (number, answer) with the number as broker payload, and (number, _STORED) without one."""
        pump = asyncio.create_task(self._pump())
        try:
            while True:
                item = await self._out.get()
                if isinstance(item, BaseException):
                    raise item
                yield item, (item[0] if item[1] is not _STORED else None)
        finally:
            pump.cancel()

    async def advance(self, batch: Sequence[Any]) -> None:
        """Airflow has stored the events of these items."""
        for item in batch:
            if item.broker_payload is not None and item.outcome.is_clean:
                self._out.put_nowait((item.broker_payload, _STORED))

    async def _pump(self) -> None:
        try:
            async for number, answer in _numbered(self._source):
                self._out.put_nowait((number, answer))
        except Exception as error:
            self._out.put_nowait(error)


class _Memory:
    """A trigger's memory in the state stores of its assets; written only when it has changed."""

    def __init__(self, trigger: _Watcher) -> None:
        _, arguments = trigger.serialize()
        # The class's first path: memories must be found again although the class has moved.
        path = f"knit_airflow.watchers.{type(trigger).__qualname__}"
        # A watcher with another poll interval is the same one; with another argument it is a new one without memory.
        watch = {name: value for name, value in arguments.items() if name != "poll_interval"}
        digest = hashlib.sha256(json.dumps([path, watch], sort_keys=True).encode()).hexdigest()
        self._key = f"knit:{type(trigger).__name__}:{digest[:16]}"
        self._stores = state_stores(trigger)
        self._last: Any = None

    async def load(self) -> Any:
        for store in self._stores:
            found = await store.aget(self._key)
            if found is not None:
                self._last = found
                return found
        return None

    async def save(self, state: dict[str, Any]) -> None:
        if state == self._last:
            return
        for store in self._stores:
            await store.aset(self._key, state)
        self._last = state


async def _numbered(source: AsyncIterator[Any]) -> AsyncIterator[tuple[int, Any]]:
    number = 0
    async for answer in source:
        yield number, answer
        number += 1


async def _stored_at_once(source: AsyncIterator[Any]) -> AsyncIterator[tuple[int, Any]]:
    async for number, answer in _numbered(source):
        yield number, answer
        yield number, _STORED


def _tag_of(launched_by: Mapping[str, str]) -> str:
    """The tag of a task's applications."""
    name = deployment()
    if not name:
        raise ValueError(
            "KnitApplicationEnded(launched_by=…) needs [knit] deployment, by which tasks tag their applications"
        )
    if set(launched_by) != {"dag_id", "task_id"}:
        raise ValueError(f"launched_by has a dag_id and a task_id, not {', '.join(launched_by) or 'nothing'}")
    return tag_of_task(name, launched_by["dag_id"], launched_by["task_id"])
