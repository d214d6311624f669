"""Follows the container logs of deferred tasks, for all triggers of a triggerer together and within limits.

A triggerer waits for thousands of tasks on one event loop, and its supervisor writes all their logs in pieces of 4 KiB. So that
the logs of one task do not slow down others: at most `[knit] live_logs_tasks` tasks are followed at a time; a few separate
threads send the requests to the cluster; a task that writes too fast for too long is no longer followed; all lines go through
one writer, which continues only after Airflow has read the previous ones. Lines that are not written here are written when the
task resumes, which continues exactly after the last written line.
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
from knit_airflow.logs.worker import NOTE, LiveLines, LogPosition, read_note
from knit_airflow.version_compat import setting, triggerer_before_is_read, until_logged

if TYPE_CHECKING:
    from knit_core import Application, Knit
    from knit_core.logs import LogWatch

T = TypeVar("T")

#: Unix time; this triggerer started before it.
LOADED = time.time()

#: Default of `[knit] live_logs_tasks`.
TASKS = 50
#: Threads for requests to the cluster.
THREADS = 4
#: Maximum of one batch of a task: bytes and lines.
CHUNK, LINES = 8192, 100
#: Lines that are logged before other tasks of the event loop run.
AT_ONCE = 10
#: Longer lines are written in pieces of so many characters.
PIECE = 4096
#: Bytes per second of one task, and the burst at its start (a line costs 200 bytes in addition to its text).
RATE, BURST = 4096, 1 << 16
#: The same for all tasks together.
TOTAL_RATE, TOTAL_BURST = 1 << 15, 1 << 17
#: Seconds for which a task may write faster before it is no longer followed.
BEHIND = 10.0
#: Seconds between two reads of a task's logs: while there are new lines, and at most.
SOON, LATE = 2.0, 6.0
#: Seconds for one read, and between two notes of the position.
LOOK, NOTE_EVERY = 2.0, 5.0
#: Seconds until the next try after a fault.
AGAIN = 10.0
#: Seconds at the end of a wait for lines that the writer has not written yet.
FLUSH_TIMEOUT = 5.0
#: A trigger's event has the positions of so many logs; of more logs, the note on HDFS has them.
IN_EVENT = 20
#: Bytes that Airflow adds to a line in its file.
LINE_OVERHEAD = 400


class TokenBucket:
    """Limits a rate: bytes per second, with a burst."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._level, self._at = rate, burst, burst, time.monotonic()

    def take(self, size: float) -> float:
        """Take so many bytes; the seconds to wait before the next call."""
        now = time.monotonic()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate) - size
        self._at = now
        return max(0.0, -self._level / self._rate)


@dataclass
class LogBatch:
    """Lines of one task to be written into its log.

    Attributes:
        lines: the lines.
        write: writes one line, in `context`.
        taken: called when the lines are in the task's log.
        done: completes at the same time.
    """

    lines: list[str]
    write: Callable[[str], None]
    taken: Callable[[], None]
    context: contextvars.Context
    done: asyncio.Future[None]

    def pieces(self) -> Iterator[str]:
        """The lines; those longer than PIECE in pieces."""
        for line in self.lines:
            yield line[:PIECE]
            for start in range(PIECE, len(line), PIECE):
                yield f"… {line[start : start + PIECE]}"


class SharedFollower:
    """The resources that all followed tasks of one event loop share.

    Parameters:
        tasks: maximum number of followed tasks.
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
        """Discard the client of a connection after a fault."""
        self._knits.pop(knit_conn_id, None)

    def send(self, batch: LogBatch) -> None:
        """Queue lines for the writer."""
        self._batches.append(batch)
        if self._writer is None or self._writer.done():
            self._writer = contextvars.Context().run(asyncio.get_running_loop().create_task, self._write())

    def withdraw(self, batch: LogBatch) -> None:
        """Remove lines from the queue, if they are still in it."""
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
                        written += len(piece) + LINE_OVERHEAD
                        if written > 4 * CHUNK:
                            # The socket must never be full: a blocking write would stop the event loop.
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
    """This event loop's shared follower."""
    loop = asyncio.get_running_loop()
    if loop not in _followers:
        _followers[loop] = SharedFollower(setting("live_logs_tasks", TASKS))
    return _followers[loop]


class LogFollower:
    """The logs of one trigger's application.

    Parameters:
        knit_conn_id, application_id: connection and application.
        arguments: `by`, `limit`, `rest`, `begun` (see `handover`) and `sealed` (see `masking`).
        log: the trigger's log.
        ti: the trigger's task instance.
    """

    def __init__(
        self, knit_conn_id: str, application_id: str, arguments: Mapping[str, Any], log: Any, ti: Any = None
    ) -> None:
        self._conn, self._app_id, self._arguments = knit_conn_id, application_id, arguments
        self._log, self._ti = log, ti
        self._follower = shared_follower()
        self._application: Application | None = None
        self._watch: LogWatch | None = None
        self._live: LiveLines | None = None
        self._position: LogPosition | None = None
        self._hide: Masker | None = None
        self._last_error = self._resumption = ""
        self._batch: LogBatch | None = None
        self._request: Future[Any] | None = None
        self._taken: dict[str, Any] | None = (
            None  # the position in the logs up to which lines are certainly in the task's log
        )
        self._noted: dict[str, Any] | None = None
        self._noted_at = 0.0
        self._task = asyncio.create_task(self._run()) if self._follower.tasks > 0 else None

    async def stop(self) -> dict[str, Any]:
        """Stop following; the position for the resumed task (see `handover.TaskLogs.resume`)."""
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
            except Exception as error:  # the event has the position, although it is large
                self._log.debug("The position in the logs could not be stored: %s", error)
        return self._taken

    def cancel(self) -> None:
        """Stop following."""
        if self._batch is not None:
            self._follower.withdraw(self._batch)
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        slots = self._follower.slots
        if slots.locked():
            self._log.info(
                "Container logs of %d tasks are followed already ([knit] live_logs_tasks): those of this task come when one "
                "of them is over, or when the task resumes",
                self._follower.tasks,
            )
        async with slots:
            try:
                while not await self._try():
                    await asyncio.sleep(AGAIN)
            finally:
                self._close()

    async def _try(self) -> bool:
        """Follow; False after a fault when a later try may succeed."""
        try:
            await self._follow()
        except Exception as error:
            self._follower.forget(self._conn)
            later = bool(getattr(error, "transient", False))
            if str(error) != self._last_error:
                self._last_error = str(error)
                when = "are followed after the next successful try" if later else "come when the task resumes"
                self._log.warning("Container logs %s: %s: %s", when, type(error).__name__, error)
            return not later
        return True

    async def _follow(self) -> None:
        if self._live is None:
            await self._ask(self._open, await self._follower.knit(self._conn))
        assert self._live is not None
        if self._resumption:
            self._log.info("Container logs %s", self._resumption)
            self._resumption = ""
        bucket, behind, came, pause = TokenBucket(RATE, BURST), 0.0, 0, SOON
        while not self._live.over:
            lines, position, full = await self._ask(self._read)
            if lines:
                await self._send(lines, position)
                size = sum(map(cost_of, lines))
                wait = bucket.take(size)
                came = came + size if full else 0
                behind = (behind or time.monotonic()) if came > BURST else 0.0
                if behind and time.monotonic() - behind > BEHIND:
                    self._log.info(
                        "[knit: the output is too fast to be followed here; the rest is written when the task resumes]"
                    )
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
        """Run a call in a thread of the shared follower."""
        future = self._follower.pool.submit(call, *arguments)
        self._request = future
        return await asyncio.wrap_future(future)

    # ------------------------------------------------------------------ run in a thread

    def _open(self, knit: Knit) -> None:
        self._application = knit.attach(self._app_id)
        self._hide = unseal(self._application, self._arguments["sealed"])
        self._position = read_note(self._application, self._arguments["by"])
        self._position.by = self._arguments["by"]
        noted = self._position.to_json()
        if noted["offsets"] and noted["offsets"] != self._arguments["begun"]:  # this is not the first triggerer
            if triggerer_before_is_read(self._ti, LOADED):
                self._resumption = (
                    "continue after the last line of an earlier triggerer; lines of its last "
                    f"{NOTE_EVERY:.0f} s may come twice"
                )
            else:
                self._resumption = "start again: the log of an earlier triggerer stays on its machine"
                self._position = LogPosition.nothing()
                self._position.by = self._arguments["by"]
        if self._position.cursor.offsets:
            self._taken = self._noted = self._position.to_json()
        from knit_core.logs import LogCursor

        self._watch = self._application.watch_logs(LogCursor.load(self._position.cursor.dump()))
        self._live = LiveLines(self._watch, self._arguments["limit"], self._position, self._arguments["rest"])

    def _read(self) -> tuple[list[str], dict[str, Any], bool]:
        """Some lines, the position after them, and whether there may be more."""
        assert self._live is not None and self._position is not None and self._hide is not None
        self._hide.renew()
        lines: list[str] = []
        size = 0
        try:
            for line in self._live.lines(LOOK):
                lines.append(self._hide(line))
                size += cost_of(line)
                if size >= CHUNK or len(lines) >= LINES:
                    return lines, self._position.to_json(), True
        except Exception:
            if not lines:  # lines that were yielded count as written, and must be written
                raise
        return lines, self._position.to_json(), False

    def _close(self) -> None:
        watch, request = self._watch, self._request
        if watch is None:
            return
        if request is not None and not request.done():
            request.add_done_callback(lambda _: watch.close())
        else:
            self._follower.pool.submit(watch.close)
