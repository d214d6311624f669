"""Launches a job of function calls, waits for its chunks, and reads their values."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knit_container.functions import OTHER_PYTHON, RAISED
from knit_core.errors import (
    ApplicationNotFound,
    FunctionFailed,
    FunctionRefused,
    KnitError,
    MasterUnreachable,
    WaitTimeout,
)
from knit_core.functions.job import FunctionJob, exception_of, outcome
from knit_core.model.clock import Clock
from knit_core.monitoring.wait import RETRY_TIMEOUT, Done, Waiter

if TYPE_CHECKING:
    from knit_core.application import Application

_DOWNLOADS = 4
_REPORT_EVERY = 5.0  # seconds between two queries of the application's report
COMMAND = 'exec "${PYTHON_BIN:-python3}" -m knit_container.functions'


def run_job(
    submit: Callable[[dict[str, Any]], Application],
    job: FunctionJob,
    *,
    workers: int,
    return_exceptions: bool,
    timeout: float | None,
    progress: Callable[[int, int], None] | None,
    options: Mapping[str, Any],
    clock: Clock,
) -> list[Any]:
    """The values of all calls, in their order.

    Args:
        submit: launches a specification (`Knit.submit`).
        job: what to call.
        workers: number of containers.
        return_exceptions: whether exceptions are returned as values; otherwise the first one ends the application and is
            raised.
        timeout: seconds for the whole job.
        progress: called with the number of finished chunks, and of all chunks.
        options: of `Knit.submit`.
        clock: for the time-out.

    Raises:
        FunctionRefused: before the launch: the job cannot be pickled, or the environment has another Python version.
        ApplicationFailed, …: a worker failed (for example, it was killed for its memory) even after restarts.
        WaitTimeout: the time-out has passed; the application is ended.
    """
    _check(workers, options)
    if not job.calls:
        return []
    deadline = None if timeout is None else clock.monotonic() + timeout
    with tempfile.TemporaryDirectory(prefix="knit-job-") as folder:
        path = job.write(Path(folder))
        app = submit(_spec(job, min(workers, job.chunks), path, options))
    try:
        told = _await_chunks(app, job, return_exceptions, deadline, progress)
        app.wait(timeout=None if deadline is None else max(1.0, deadline - clock.monotonic()))
        for number in range(told + 1, job.chunks + 1):  # the application ended before these were reported
            if progress is not None:
                progress(number, job.chunks)
        return _values(app, job, return_exceptions)
    except BaseException as error:
        _end(app, f"its caller ended: {type(error).__name__}")
        raise
    finally:
        with contextlib.suppress(KnitError):  # otherwise deleted with the application's folder
            app.cluster.hdfs.delete(f"{app.folder}/results", recursive=True)


def prepare(job: FunctionJob, workers: int, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """The specification of a job for `Knit.submit`, for callers that wait for the application themselves.

    The first exception of the function makes the application fail. After its success, `collect` returns the values.

    Args:
        job: what to call.
        workers: number of containers.
        folder: an empty folder for the job file; it must exist until the submission has ended.
        options: of `Knit.submit`.

    Raises:
        FunctionRefused: the job cannot be pickled, or the environment has another Python version.
    """
    _check(workers, options)
    return _spec(job, min(workers, job.chunks), job.write(folder, fatal=True), options)


def collect(app: Application, chunks: int) -> list[Any]:
    """The values of a job whose application has succeeded.

    Raises:
        Exception: the function's exception, with the traceback in the container as its cause.
    """
    return [value for chunk in range(chunks) for value in _values_of(app, chunk, return_exceptions=False)]


def failure(app: Application, chunks: Iterable[int]) -> Exception | None:
    """The first exception in the outcomes of these chunks on HDFS; None if there is none.

    Its cause is the traceback in the container.
    """
    for chunk in chunks:
        try:
            _values_of(app, chunk, return_exceptions=False)
        except Exception as error:
            if isinstance(error, KnitError) and not isinstance(error, FunctionFailed):
                continue  # the chunk has no readable outcome
            return error
    return None


def _check(workers: int, options: Mapping[str, Any]) -> None:
    if workers < 1:
        raise FunctionRefused(f"workers must be at least 1, not {workers}")
    environment = options.get("env")
    there = getattr(environment, "python", "")
    here = ".".join(map(str, sys.version_info[:2]))
    if there and ".".join(there.split(".")[:2]) != here:
        raise FunctionRefused(
            f"The environment {getattr(environment, 'name', '')} has Python {there}, and this process has Python {here}: "
            f'pickled functions require the same version. Build it with "python={here}". Nothing was launched.'
        )


def _spec(job: FunctionJob, workers: int, path: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    from knit_core.spec import ApplicationSpec

    given = {key: value for key, value in options.items() if value is not None}
    whole = {key: given.pop(key) for key in list(given) if key in ApplicationSpec.model_fields}
    if "env" in given:
        given["environment"] = given.pop("env")
    files = given.pop("files", None) or []
    if isinstance(files, Mapping):
        files = [{"source": source, "name": name} for name, source in files.items()]
    service = {
        "restart": {"policy": "on-failure", "limit": 3, "first_delay": 1, "longest_delay": 30},
        "fatal_codes": [OTHER_PYTHON, RAISED],
        **given,
        "command": COMMAND,
        "instances": workers,
        "files": [*files, {"source": str(path), "type": "FILE"}],
    }
    return {"name": f"knit {job.name}", **whole, "services": {"worker": service}}


def _await_chunks(
    app: Application,
    job: FunctionJob,
    return_exceptions: bool,
    deadline: float | None,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Wait for all chunks, or until the application ends; raise the first exception at once, unless exceptions are returned.

    Returns:
        The number of chunks that were reported.
    """
    done: set[int] = set()
    for chunk, failures in _finished(app, deadline):
        if chunk in done:
            continue
        done.add(chunk)
        if progress is not None:
            progress(len(done), job.chunks)
        if failures and not return_exceptions:
            _values_of(app, chunk, return_exceptions)  # raises it
        if len(done) == job.chunks:
            break
    return len(done)


def _finished(app: Application, deadline: float | None) -> Iterator[tuple[int, int]]:
    """Finished chunks, each with its number of exceptions; ends with the application.

    Faults of the ResourceManager are tolerated for as long as in `Application.wait`.
    """
    clock = app.cluster.clock
    app.wait_until(lambda report: bool(report.master), timeout=_left(app, deadline, None))
    position: int | None = None
    report_waiter, watch_waiter = (Waiter(app_id=app.id, started=clock.monotonic()) for _ in range(2))
    while True:
        if deadline is not None and clock.monotonic() > deadline:
            raise WaitTimeout(f"{app.id}: not all calls were finished before the time-out; the application was ended")
        try:
            for change in app.kv.watch("done/", after=position, timeout=_left(app, deadline, _REPORT_EVERY)):
                position = change.revision
                yield int(change.key.rpartition("/")[2]), int(change.value["failures"])
        except KnitError as error:
            if _has_ended(app, report_waiter):
                return
            if isinstance(error, MasterUnreachable):
                raise
            watch_waiter.on_error(error, clock.monotonic())  # raises errors that are permanent or last too long
            continue
        watch_waiter.recovered()
        if _has_ended(app, report_waiter):
            return


def _has_ended(app: Application, waiter: Waiter) -> bool:
    """Whether the application is known to have ended; `waiter` counts faults."""
    now = app.cluster.clock.monotonic
    try:
        report = app.report()
    except KnitError as error:
        return isinstance(waiter.on_error(error, now()), Done)
    return isinstance(waiter.on_report(report, now()), Done)


def _left(app: Application, deadline: float | None, most: float | None) -> float | None:
    if deadline is None:
        return most
    left = max(1.0, deadline - app.cluster.clock.monotonic())
    return left if most is None else min(most, left)


def _values(app: Application, job: FunctionJob, return_exceptions: bool) -> list[Any]:
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        some = list(pool.map(lambda chunk: _values_of(app, chunk, return_exceptions), range(job.chunks)))
    return [value for values in some for value in values]


def _values_of(app: Application, chunk: int, return_exceptions: bool) -> list[Any]:
    """The values of one chunk, read through a temporary file: they may be large."""
    values: list[Any] = []
    app.cluster.check_staging()  # unpickling runs code: no other user may be able to write there
    with tempfile.TemporaryFile() as file:

        def fetch() -> None:
            file.seek(0)
            file.truncate()
            for piece in app.cluster.hdfs.stream(f"{app.folder}/results/{chunk}"):
                file.write(piece)

        # a failure here loses the work of all containers: tolerate faults of HDFS for as long as those of the ResourceManager
        retry = app.cluster.hdfs.retry
        replace(retry, budget=RETRY_TIMEOUT if retry.budget else 0.0).call(fetch, idempotent=True)
        size = file.tell()
        file.seek(0)
        while file.tell() < size:
            kind, content = outcome(file)
            if kind == "error" and not return_exceptions:
                raise exception_of(content)
            values.append(exception_of(content) if kind == "error" else content)
    return values


def _end(app: Application, why: str) -> None:
    try:
        app.kill(why, grace=2)
    except (KnitError, ApplicationNotFound):
        return  # the caller raises the original error, which matters more


__all__ = ["collect", "failure", "prepare", "run_job"]
