"""Solving and installing with a program on the PATH: conda, mamba or micromamba, with its own configuration."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from knit_core.environments.errors import ChannelUnreachable, DiskFull, EnvironmentFailed, SolveError, SolverMissing
from knit_core.environments.pack.prefix import read_solution
from knit_core.environments.progress import Progress, ProgressCallback, Stage
from knit_core.environments.redaction import without_secrets
from knit_core.environments.solution import Solution
from knit_core.environments.solve.failures import DISK_FULL, shortened
from knit_core.environments.solve.request import Request
from knit_core.environments.solve.session import Session

_NOT_SOLVED = re.compile(r"PackagesNotFound|Unsatisfiable|ResolvePackageNotFound|nothing provides|does not exist|solve")
_NOT_REACHED = re.compile(
    r"CondaHTTPError|UnavailableInvalidChannel|Could not connect|resolve host|Connection|download"
)


class CondaSession(Session):
    """One run of `<program> create`, which solves and installs: `solve` does both."""

    def __init__(self, request: Request, work: Path, progress: ProgressCallback) -> None:
        program = shutil.which(request.solver)
        if program is None:
            raise SolverMissing(
                f"{request.solver} is not on the PATH: install it, or use py-rattler, the default solver"
            )
        self._program, self._request, self._progress = program, request, progress
        self._prefix = work / "prefix"
        self.embedded = str(self._prefix)
        self._child: subprocess.Popen[str] | None = None

    def close(self) -> None:
        if self._child is not None and self._child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.communicate()

    def solve(self) -> Solution:
        request = self._request
        self._progress(Progress(Stage.SOLVE, f"{_summary(request)}, with {self._program}"))
        channels = [argument for channel in request.channels for argument in ("--channel", channel)]
        command = [self._program, "create", "--yes", "--json", "--prefix", str(self._prefix)]
        self._child = subprocess.Popen(
            [*command, "--override-channels", *channels, *request.specs],
            env={**os.environ, "CONDA_SUBDIR": request.platform},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C interrupts this process only; `close` then kills the whole group
        )
        out, err = self._child.communicate()
        if self._child.returncode != 0:
            raise _explained(request, self._child.returncode, _reason(out, err))
        found = read_solution(self._prefix)
        return Solution.of(request.platform, found.records, request.variables)

    def install(self) -> Path:
        return self._prefix


def _summary(request: Request) -> str:
    return f"{', '.join(request.specs)} from {', '.join(map(without_secrets, request.channels))}"


def _reason(out: str, err: str) -> str:
    """The error in the program's JSON output, else its standard error."""
    text = err
    with suppress(ValueError, AttributeError):
        document = json.loads(out)
        text = (
            " ".join(str(document[key]) for key in ("exception_name", "message", "error") if document.get(key)) or err
        )
    return shortened(without_secrets(text.strip() or out))


def _explained(request: Request, code: int, reason: str) -> EnvironmentFailed:
    packages = _summary(request)
    if DISK_FULL.search(reason):
        return DiskFull(f"No space is left for {packages}: {reason}")
    if _NOT_REACHED.search(reason):
        return ChannelUnreachable(f"{request.solver} could not get {packages}: {reason}")
    if _NOT_SOLVED.search(reason):
        return SolveError(f"{request.solver} found no environment with {packages} ({request.platform}): {reason}")
    return EnvironmentFailed(f"{request.solver} create ended with exit code {code} for {packages}: {reason}")
