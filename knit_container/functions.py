"""Runs Python functions in containers for `Knit.map` and `Knit.run`: the program of the workers.

A job is a ZIP file: `job.json`, `function` and `chunks/<n>` (pickles), and `lib/` with the cloudpickle that wrote them. Workers
claim chunks with the store's `append`, which records the rank of each claim; a restarted worker continues with the chunks of
its rank. Values and exceptions are written to `results/<n>` in the application's folder on HDFS, not sent to the
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
from knit_container.tokens import keep_tokens

JOB = "function-job.zip"
OTHER_PYTHON = 78  # exit code; EX_CONFIG of sysexits.h
RAISED = 70  # exit code; EX_SOFTWARE: the function raised an exception, which fails the application


class Job:
    """An open job file."""

    def __init__(self, path: str) -> None:
        self.archive = zipfile.ZipFile(path)
        self.header: dict[str, Any] = json.loads(self.archive.read("job.json"))
        sys.path.insert(0, f"{path}/lib")  # the cloudpickle that wrote it goes before the environment's

    def function(self) -> Any:
        """The function to call."""
        return pickle.loads(self.archive.read("function"))

    def items(self, chunk: int) -> list[Any]:
        """The arguments of one chunk: one tuple for each call."""
        found: list[Any] = pickle.loads(self.archive.read(f"chunks/{chunk}"))
        return found


def main() -> int:
    """Run chunks until none is left."""
    keep_tokens()  # a call may take longer than the tokens last, and its value is written afterwards
    job = Job(JOB)
    here = ".".join(map(str, sys.version_info[:2]))
    if job.header["python"] != here:
        print(
            f"knit: the function was pickled by Python {job.header['python']}, this container has Python {here}: "
            "give an environment with the same version (env=…)",
            file=sys.stderr,
        )
        return OTHER_PYTHON
    function = job.function()
    total = int(job.header["chunks"])
    if job.header["each"]:
        if knit.instance < total:
            return _exit_code(job, _work(job, function, knit.instance))
        return 0
    for chunk in _unfinished(total):
        if _exit_code(job, _work(job, function, chunk)):
            return RAISED
    while True:
        _, chunk = knit.kv.append("claims/", knit.instance)
        if chunk >= total:
            return 0
        if _exit_code(job, _work(job, function, chunk)):
            return RAISED


def _exit_code(job: Job, failures: int) -> int:
    """RAISED when failures of calls fail the application, else 0."""
    return RAISED if failures and job.header.get("fatal") else 0


def _unfinished(total: int) -> list[int]:
    """Chunks that an earlier attempt of this rank has claimed and not finished. Its last claim may be beyond the last chunk."""
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
    """Call the function, and append the outcome to `out` as a separate pickle. Returns 1 after an exception, else 0."""
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
    """Append a pickle to `out`, by cloudpickle if pickle fails. A partial pickle is removed."""
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
