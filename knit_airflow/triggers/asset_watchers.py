"""Triggers of asset watchers: a DAG starts when an application ends, or when a queue has room.

    finished = Asset("exports", watchers=[AssetWatcher(name="ended", trigger=KnitApplicationEnded(tag="export"))])

    @dag(schedule=[finished])
    ...

They share the requests of all other triggers (`_shared_poll`, `_queue_poll`) and remember in the state store of their asset what
they have told, so that a triggerer's death neither loses an event nor, but for the last seconds, repeats one (`_asset_events`).
Airflow says when an event is stored: each trigger is a shared stream of its own, whose producer is told that.
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
    from knit_core.model.queue_headroom import QueueHeadroom
    from knit_core.model.report import ApplicationReport

OUTCOMES = ("SUCCEEDED", "FAILED", "KILLED")


class _Watcher(BaseEventTrigger):
    """What both have in common: the way from what is seen to an event, and the memory."""

    poll_interval: float
    knit_conn_id: str

    def _arguments(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def _source(cls, kwargs: Mapping[str, Any]) -> AsyncIterator[Any]:
        """What the cluster shows from now on; a text where it could not be asked."""
        raise NotImplementedError

    def _machine(self, memory: Any) -> Any:
        """`EndedApplications` or `HeadroomEdge`, going on from a memory."""
        raise NotImplementedError

    def _take(self, machine: Any, seen: Any) -> list[dict[str, Any]]:
        """The events that something seen means."""
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Path and arguments; another triggerer makes the same trigger of them."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self._arguments()

    def shared_stream_key(self) -> Hashable:
        """A stream of its own for each trigger: the requests are shared below it."""
        path, arguments = self.serialize()
        return path, json.dumps(arguments, sort_keys=True)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """The source, told by Airflow what is stored."""
        return _Producer(cls._source(kwargs))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """The events; each is remembered before Airflow gets it, and again when it has stored it."""
        store = _Memory(self)
        machine = self._machine(await store.load())
        under_way: dict[int, list[dict[str, Any]]] = {}
        said = ""
        async for number, seen in shared_stream:
            if seen is _STORED:
                events = under_way.pop(number, [])
                machine.stored(events)
                if events:
                    await store.save(machine.state())
                continue
            if isinstance(seen, str):
                if seen != said:
                    self.log.warning("%s cannot look at the cluster: %s", type(self).__name__, seen)
                said = seen
                continue
            said = ""
            events = self._take(machine, seen)
            await store.save(machine.state())
            if events:
                under_way[number] = events
            for event in events:
                metrics.fired(type(self).__name__)
                yield TriggerEvent({**event, "connection": self.knit_conn_id})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Without Airflow's shared streams: nobody tells when an event is stored, so at once."""
        events = self.filter_shared_stream(_told_at_once(self._source(self._arguments())))
        async for event in events:
            yield event


class KnitApplicationEnded(_Watcher):
    """An event for every YARN application that ends and fits, of Knit or not, whoever launched it.

    The event's payload (in `triggering_asset_events` under `extra["payload"]`) has `application_id`, `name`, `user`, `queue`,
    `type`, `outcome`, `tags`, `started_at` and `finished_at` (ms since the epoch), `diagnostics`, `page`, `connection`, and
    `again`: True when this end may have been told before, because the triggerer died just then.

    Applications that had ended before the watcher first saw the cluster are not told. What ends while no triggerer runs
    is told by the next one, as long as the ResourceManager still lists it.

    Parameters:
        tag: of the application; YARN writes tags in lower case.
        name: instead, its name.
        launched_by: instead, a KnitOperator's task, `{"dag_id": …, "task_id": …}`, in whichever run: needs
            `[knit] deployment` where the DAG is parsed and where it ran.
        outcomes: of "SUCCEEDED", "FAILED", "KILLED"; the first alone by default.
        knit_conn_id: the connection.
        poll_interval: seconds between two polls; one request for all triggers of a triggerer.

    Raises:
        ValueError: not exactly one application is named, an unknown outcome, or no deployment.
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
        async for seen in shared_poll(kwargs["knit_conn_id"]).listen(kwargs["poll_interval"]):
            yield seen.text if isinstance(seen, Status) else seen

    def _machine(self, memory: Any) -> EndedApplications:
        target = Target(name=self.name, tag=self.tag)
        return EndedApplications(lambda report: target.fits(report) and str(report.outcome) in self.outcomes, memory)

    def _take(self, machine: EndedApplications, seen: list[ApplicationReport]) -> list[dict[str, Any]]:
        return machine.on_list(seen)


class KnitQueueHasRoom(_Watcher):
    """An event when a YARN queue that was full has room again: not while it has room, only when it gets it.

    QueueHeadroom is what the queue may still take up to its largest capacity, what the queues above it and the cluster have left,
    less what applications of the queue already wait for. The event's payload has `queue` (its path), `memory` (MiB) and `vcores` of
    the room, `at` (Unix time), `connection`, and `again`: True when it may have been told before.

    Parameters:
        queue: its path or the last part of it.
        memory: of one container, in MiB or as "8 GiB".
        vcores: of one container; 0: they don't count.
        containers: how many of them there has to be room for. That they fit on single nodes is not looked at.
        margin: part of the room, 0.0 to 1.0, that has to be missing before the queue counts as full.
        settle: seconds for which there has to be room without a break.
        pause: seconds that lie at least between two events.
        knit_conn_id: the connection.
        poll_interval: seconds between two polls; one request for all triggers of a triggerer that watch queues.

    Raises:
        ValueError: nothing is wanted, or a number makes no sense.
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
        async for seen in queue_poll(kwargs["knit_conn_id"]).listen(kwargs["poll_interval"]):
            yield seen

    def _machine(self, memory: Any) -> HeadroomEdge:
        wanted = self.memory * self.containers, self.vcores * self.containers
        edge = HeadroomEdge(*wanted, margin=self.margin, settle=self.settle, pause=self.pause)
        edge.remember(memory)
        return edge

    def _take(self, machine: HeadroomEdge, seen: list[QueueHeadroom]) -> list[dict[str, Any]]:
        from knit_core.model.queue_headroom import headroom_in

        return machine.on_headroom(headroom_in(seen, self.queue), time.time())


_STORED = "stored in Airflow"


class _Producer(SharedStreamProducer):
    """Numbers what the source gives and hands it on; tells on the same way what Airflow has stored."""

    def __init__(self, source: AsyncIterator[Any]) -> None:
        self._source = source
        self._out: asyncio.Queue[Any] = asyncio.Queue()

    async def open_stream(self) -> AsyncIterator[tuple[Any, int | None]]:
        """(number, what was seen) with the number, and (number, stored) with none."""
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
        """These have been taken in, and the events that they meant are stored."""
        for item in batch:
            if item.broker_payload is not None and item.outcome.is_clean:
                self._out.put_nowait((item.broker_payload, _STORED))

    async def _pump(self) -> None:
        try:
            async for number, seen in _numbered(self._source):
                self._out.put_nowait((number, seen))
        except Exception as error:
            self._out.put_nowait(error)


class _Memory:
    """A trigger's memory in the state stores of its assets; written when it has changed."""

    def __init__(self, trigger: _Watcher) -> None:
        _, arguments = trigger.serialize()
        # The path under which memories began: a new place of the class must not forget them.
        path = f"knit_airflow.watchers.{type(trigger).__qualname__}"
        # Another poll interval is the same watch; anything else is a new one, which begins with now.
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
    async for seen in source:
        yield number, seen
        number += 1


async def _told_at_once(source: AsyncIterator[Any]) -> AsyncIterator[tuple[int, Any]]:
    async for number, seen in _numbered(source):
        yield number, seen
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
