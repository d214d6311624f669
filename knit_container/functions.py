"""Runs Python functions in containers for `Knit.map` and `Knit.run`: the worker's side.

A job is a ZIP file: `job.json`, `function` and `chunks/<n>` (pickles), and `lib/` with the cloudpickle that made them.
Workers take chunks by the store's `append`, whose record says who has which; a worker that is started again goes on with
what its rank had taken. Values and exceptions go to `results/<n>` in the application's folder on HDFS, not through the
ApplicationMaster.
"""

from __future__ import annotations

import json
import pickle
import sys
import tempfile
import traceback
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import knit_container as knit
from knit_container.hdfs import write

JOB = "function-job.zip"
OTHER_PYTHON = 78  # exit code; EX_CONFIG of sysexits.h
RAISED = 70  # exit code; EX_SOFTWARE: the function raised an exception, and that is to be the application's failure


class Job:
    """The job file, opened."""

    def __init__(self, path: str) -> None:
        self.archive = zipfile.ZipFile(path)
        self.header: dict[str, Any] = json.loads(self.archive.read("job.json"))
        sys.path.insert(0, f"{path}/lib")  # the cloudpickle that wrote it, whatever the environment has

    def function(self) -> Any:
        """The function."""
        return pickle.loads(self.archive.read("function"))

    def items(self, chunk: int) -> list[Any]:
        """The arguments of one chunk: one tuple for each call."""
        found: list[Any] = pickle.loads(self.archive.read(f"chunks/{chunk}"))
        return found


def main() -> int:
    """Work until no chunk is left."""
    job = Job(JOB)
    here = ".".join(map(str, sys.version_info[:2]))
    if job.header["python"] != here:
        print(
            f"knit: the function was pickled by Python {job.header['python']}, this container has Python {here}: "
            "give an environment with the same one (env=…)",
            file=sys.stderr,
        )
        return OTHER_PYTHON
    function = job.function()
    total = int(job.header["chunks"])
    if job.header["each"]:
        if knit.instance < total:
            return _ended(job, _work(job, function, knit.instance))
        return 0
    for chunk in _unfinished(total):
        if _ended(job, _work(job, function, chunk)):
            return RAISED
    while True:
        _, chunk = knit.kv.append("claims/", knit.instance)
        if chunk >= total:
            return 0
        if _ended(job, _work(job, function, chunk)):
            return RAISED


def _ended(job: Job, failures: int) -> int:
    """RAISED when these failures are the application's, else 0."""
    return RAISED if failures and job.header.get("fatal") else 0


def _unfinished(total: int) -> list[int]:
    """What an earlier attempt of this rank has taken and not finished; its last claim may have been for no chunk at all."""
    if knit.attempt == 1:
        return []
    done = {key.rpartition("/")[2] for key in knit.kv.keys("done/")}
    mine = [int(key.rpartition("/")[2]) for key, rank in knit.kv.prefix("claims/").items() if rank == knit.instance]
    return [chunk for chunk in mine if chunk < total and str(chunk) not in done]


def _work(job: Job, function: Any, chunk: int) -> int:
    failures = 0
    with tempfile.TemporaryFile(dir=Path.cwd()) as out:
        for arguments in job.items(chunk):
            failures += _call(function, arguments, out)
        size = out.tell()
        write(f"results/{chunk}", out)
    knit.kv.put(f"done/{chunk}", {"bytes": size, "failures": failures})
    return failures


def _call(function: Any, arguments: tuple[Any, ...], out: BinaryIO) -> int:
    """One call; its outcome is appended to `out` as a pickle of its own. 1 for an exception."""
    try:
        _dump(("value", function(*arguments)), out)
        return 0
    except Exception as error:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        print(text, file=sys.stderr, flush=True)
        summary = f"{type(error).__name__}: {error}"
        try:
            _dump(("error", (error, summary, text)), out)
        except Exception:
            _dump(("error", (None, summary, text)), out)
        return 1


def _dump(value: Any, out: BinaryIO) -> None:
    """Pickle at the end of `out`; what plain pickle can't do, cloudpickle may. A half one is taken back."""
    start = out.tell()
    try:
        pickle.dump(value, out, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:
        out.seek(start)
        out.truncate()
        import cloudpickle

        try:
            cloudpickle.dump(value, out, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception:
            out.seek(start)
            out.truncate()
            raise


if __name__ == "__main__":
    sys.exit(main())
