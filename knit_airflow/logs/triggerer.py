"""Container logs of deferred tasks, followed for all triggers of a triggerer together, within bounds.

A triggerer waits for thousands of tasks on one event loop, and its supervisor writes all their logs one 4 KiB piece at a
time. So that no task's logs slow anything else: at most `[knit] live_logs_tasks` tasks are followed at a time; what is
asked of the cluster is asked by a few threads of their own; a task whose logs come faster than is read for long is
followed no more; all lines leave through one writer, which goes on only when Airflow has taken what it wrote. What
is not written here is written when the task resumes, and that begins exactly behind what was.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from knit_airflow.hooks.knit import KnitHook
from knit_airflow.logs.limit import cost_of
from knit_airflow.logs.masking import Masker, unseal
from knit_airflow.logs.worker import NOTE, Head, LogPosition, read_note
from knit_airflow.version_compat import setting, triggerer_before_is_read, until_logged

if TYPE_CHECKING:
    from knit_core import Application, Knit
    from knit_core.logs import LogWatch

T = TypeVar("T")

#: Since when this triggerer is there, at least.
LOADED = time.time()

#: `[knit] live_logs_tasks` when nobody says otherwise.
TASKS = 50
#: Threads that ask the cluster.
THREADS = 4
#: What one task writes at a time: bytes and lines.
CHUNK, LINES = 8192, 100
#: Lines that are logged before others get their turn on the event loop.
AT_ONCE = 10
#: Characters of a line that are written at a time.
PIECE = 4096
#: Bytes per second of one task in the long run, and at first (a line costs 200 of them beside its text).
RATE, BURST = 4096, 1 << 16
#: The same for all tasks together.
TOTAL_RATE, TOTAL_BURST = 1 << 15, 1 << 17
#: Seconds for which a task may write faster than that before it is followed no more.
BEHIND = 10.0
#: Seconds between two reads of a task's logs: while lines come, and at most.
SOON, LATE = 2.0, 6.0
#: Seconds for one read, and between two notes of how far it is.
LOOK, NOTE_EVERY = 2.0, 5.0
#: Seconds until it is tried again after a fault.
AGAIN = 10.0
#: Seconds that the end of a wait gives lines that are on their way.
FLUSH_TIMEOUT = 5.0
#: Of so many logs a trigger's event tells how far they were written; of more a note on HDFS does.
IN_EVENT = 20
#: What Airflow adds to a line in its file, in bytes.
AROUND = 400


class TokenBucket:
    """So many bytes a second, and a burst of so many."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._level, self._at = rate, burst, burst, time.monotonic()

    def take(self, size: float) -> float:
        """Take it; the seconds to wait before the next time."""
        now = time.monotonic()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate) - size
        self._at = now
        return max(0.0, -self._level / self._rate)


@dataclass
class LogBatch:
    """Lines of one task on their way to its log.

    Attributes:
        lines: they.
        write: writes one, in `context`.
        taken: called when they are in the task's log.
        done: the same as a future.
    """

    lines: list[str]
    write: Callable[[str], None]
    taken: Callable[[], None]
    context: contextvars.Context
    done: asyncio.Future[None]

    def pieces(self) -> Iterator[str]:
        """The lines, the very long ones in pieces."""
        for line in self.lines:
            yield line[:PIECE]
            for start in range(PIECE, len(line), PIECE):
                yield f"… {line[start : start + PIECE]}"


class SharedFollower:
    """What all followed tasks of one event loop share.

    Parameters:
        tasks: how many at a time.
    """

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.slots = asyncio.Semaphore(tasks)
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="knit-live-logs")
        self._batches: deque[LogBatch] = deque()
        self._total = TokenBucket(TOTAL_RATE, TOTAL_BURST)
        self._writer: asyncio.Task[None] | None = None
        self._knits: dict[str, Knit] = {}

    async def knit(self, knit_conn_id: str) -> Knit:
        """The client of a connection."""
        if knit_conn_id not in self._knits:
            self._knits[knit_conn_id] = await KnitHook(knit_conn_id).aget_conn()
        return self._knits[knit_conn_id]

    def forget(self, knit_conn_id: str) -> None:
        """Make its client anew the next time: something is wrong with this one."""
        self._knits.pop(knit_conn_id, None)

    def send(self, batch: LogBatch) -> None:
        """Have lines written, after those that were sent before."""
        self._batches.append(batch)
        if self._writer is None or self._writer.done():
            self._writer = contextvars.Context().run(asyncio.get_running_loop().create_task, self._write())

    def withdraw(self, batch: LogBatch) -> None:
        """Not any more, if they were not written yet."""
        if batch in self._batches:
            self._batches.remove(batch)

    async def _write(self) -> None:
        while self._batches:
            batches: list[LogBatch] = []
            size = written = 0
            try:
                while self._batches and size < CHUNK:
                    batches.append(self._batches.popleft())
                    for number, piece in enumerate(batches[-1].pieces()):
                        if number % AT_ONCE == AT_ONCE - 1:
                            await asyncio.sleep(0)
                        batches[-1].context.run(batches[-1].write, piece)
                        size += cost_of(piece)
                        written += len(piece) + AROUND
                        if written > 4 * CHUNK:
                            # The socket must never be full: a write to it would stop the event loop.
                            written = await until_logged(written)
                await until_logged(written)
            except BaseException:
                for batch in batches:
                    batch.done.cancel()
                raise
            for batch in batches:
                batch.taken()
                if not batch.done.done():
                    batch.done.set_result(None)
            pause = self._total.take(size)
            if pause:
                await asyncio.sleep(pause)


_followers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, SharedFollower] = weakref.WeakKeyDictionary()


def shared_follower() -> SharedFollower:
    """This event loop's."""
    loop = asyncio.get_running_loop()
    if loop not in _followers:
        _followers[loop] = SharedFollower(setting("live_logs_tasks", TASKS))
    return _followers[loop]


class LogFollower:
    """The logs of one trigger's application.

    Parameters:
        knit_conn_id, application_id: which.
        arguments: `by`, `limit`, `rest`, `begun` (see `handover`) and `sealed` (see `masking`).
        log: the trigger's.
        ti: its task instance.
    """

    def __init__(
        self, knit_conn_id: str, application_id: str, arguments: Mapping[str, Any], log: Any, ti: Any = None
    ) -> None:
        self._conn, self._app_id, self._arguments = knit_conn_id, application_id, arguments
        self._log, self._ti = log, ti
        self._follower = shared_follower()
        self._application: Application | None = None
        self._watch: LogWatch | None = None
        self._head: Head | None = None
        self._position: LogPosition | None = None
        self._hide: Masker | None = None
        self._said = self._after = ""
        self._batch: LogBatch | None = None
        self._asking: Future[Any] | None = None
        self._taken: dict[str, Any] | None = None  # what is in the task's log, as far as that is known
        self._noted: dict[str, Any] | None = None
        self._noted_at = 0.0
        self._task = asyncio.create_task(self._run()) if self._follower.tasks > 0 else None

    async def stop(self) -> dict[str, Any]:
        """Follow no longer; what the resumed task is to be told (see `handover.TaskLogs.resume`)."""
        if self._batch is not None:
            await asyncio.wait([self._batch.done], timeout=FLUSH_TIMEOUT)
        self.cancel()
        if self._taken is None:
            return {"by": self._arguments["by"], "begun": self._arguments["begun"]}
        if len(self._taken["offsets"]) > IN_EVENT:
            try:
                if self._taken != self._noted:
                    await asyncio.wait_for(self._note(), FLUSH_TIMEOUT)
                return {"by": self._arguments["by"], "noted": True}
            except Exception as error:  # a large event, then
                self._log.debug("How far the logs are could not be noted: %s", error)
        return self._taken

    def cancel(self) -> None:
        """Follow no longer."""
        if self._batch is not None:
            self._follower.withdraw(self._batch)
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        slots = self._follower.slots
        if slots.locked():
            self._log.info(
                "Container logs of %d tasks are followed already ([knit] live_logs_tasks): these come when one of them "
                "is over, or when the task resumes",
                self._follower.tasks,
            )
        async with slots:
            try:
                while not await self._try():
                    await asyncio.sleep(AGAIN)
            finally:
                self._close()

    async def _try(self) -> bool:
        """Follow; False when that may work later."""
        try:
            await self._follow()
        except Exception as error:
            self._follower.forget(self._conn)
            later = bool(getattr(error, "transient", False))
            if str(error) != self._said:
                self._said = str(error)
                when = "are followed as soon as that works" if later else "come when the task resumes"
                self._log.warning("Container logs %s: %s: %s", when, type(error).__name__, error)
            return not later
        return True

    async def _follow(self) -> None:
        if self._head is None:
            await self._ask(self._open, await self._follower.knit(self._conn))
        assert self._head is not None
        if self._after:
            self._log.info("Container logs %s", self._after)
            self._after = ""
        bucket, behind, came, pause = TokenBucket(RATE, BURST), 0.0, 0, SOON
        while not self._head.over:
            lines, position, full = await self._ask(self._read)
            if lines:
                await self._send(lines, position)
                size = sum(map(cost_of, lines))
                wait = bucket.take(size)
                came = came + size if full else 0
                behind = (behind or time.monotonic()) if came > BURST else 0.0
                if behind and time.monotonic() - behind > BEHIND:
                    self._log.info("[knit: more comes than is followed here; it is written when the task resumes]")
                    return
                pause = wait if full else max(wait, SOON)
            else:
                pause = min(LATE, max(pause, SOON / 1.5) * 1.5)
            if self._taken != self._noted and time.monotonic() - self._noted_at >= NOTE_EVERY:
                await self._note()
            await asyncio.sleep(pause)

    async def _send(self, lines: list[str], position: dict[str, Any]) -> None:
        def taken() -> None:
            self._taken = position

        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._batch = LogBatch(lines, lambda line: self._log.info("%s", line), taken, contextvars.copy_context(), done)
        self._follower.send(self._batch)
        await done
        self._batch = None

    async def _note(self) -> None:
        taken = self._taken
        assert self._application is not None
        await self._ask(self._application.write_note, NOTE, taken)
        self._noted, self._noted_at = taken, time.monotonic()

    async def _ask(self, call: Callable[..., T], *arguments: Any) -> T:
        """In a thread of the follower's own."""
        future = self._follower.pool.submit(call, *arguments)
        self._asking = future
        return await asyncio.wrap_future(future)

    # ------------------------------------------------------------------ in a thread

    def _open(self, knit: Knit) -> None:
        self._application = knit.attach(self._app_id)
        self._hide = unseal(self._application, self._arguments["sealed"])
        self._position = read_note(self._application, self._arguments["by"])
        self._position.by = self._arguments["by"]
        again = self._position.to_json()
        if again["offsets"] and again["offsets"] != self._arguments["begun"]:  # this is not the first triggerer
            if triggerer_before_is_read(self._ti, LOADED):
                self._after = (
                    "go on behind what a triggerer before this one wrote; some lines of its last "
                    f"{NOTE_EVERY:.0f} s may come twice"
                )
            else:
                self._after = "come again: what a triggerer before this one wrote of them stays on its machine"
                self._position = LogPosition.nothing()
                self._position.by = self._arguments["by"]
        if self._position.cursor.offsets:
            self._taken = self._noted = self._position.to_json()
        from knit_core.logs import LogCursor

        self._watch = self._application.watch_logs(LogCursor.load(self._position.cursor.dump()))
        self._head = Head(self._watch, self._arguments["limit"], self._position, self._arguments["rest"])

    def _read(self) -> tuple[list[str], dict[str, Any], bool]:
        """Some lines, how far they are, and whether there may be more."""
        assert self._head is not None and self._position is not None and self._hide is not None
        self._hide.renew()
        lines: list[str] = []
        size = 0
        try:
            for line in self._head.lines(LOOK):
                lines.append(self._hide(line))
                size += cost_of(line)
                if size >= CHUNK or len(lines) >= LINES:
                    return lines, self._position.to_json(), True
        except Exception:
            if not lines:  # what was handed out counts as written, and must be
                raise
        return lines, self._position.to_json(), False

    def _close(self) -> None:
        watch, asking = self._watch, self._asking
        if watch is None:
            return
        if asking is not None and not asking.done():
            asking.add_done_callback(lambda _: watch.close())
        else:
            self._follower.pool.submit(watch.close)
