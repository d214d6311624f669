"""Solving and installing with py-rattler in a child process. It needs no conda on this machine."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knit_core.environments.cache import Cache
from knit_core.environments.errors import (
    BadLock,
    BadPackageSpec,
    ChannelUnreachable,
    DiskFull,
    EnvironmentFailed,
    PlatformMismatch,
    SolveError,
    SolverMissing,
)
from knit_core.environments.pack.tarball import EMBEDDED_PREFIX
from knit_core.environments.platforms import runs_here
from knit_core.environments.progress import Progress, ProgressCallback, Stage
from knit_core.environments.redaction import without_secrets
from knit_core.environments.solution import Solution
from knit_core.environments.solve.failures import DISK_FULL, LONGEST_REASON, NOT_THERE, shortened
from knit_core.environments.solve.request import Request
from knit_core.environments.solve.session import Session

_PROGRAM = Path(__file__).parents[1] / "programs" / "solve_with_rattler.py"
_NOT_REACHED = re.compile(r"error sending request|HTTP status|Failed to fetch|failed to download", re.IGNORECASE)
_DIGEST_MISMATCH = re.compile(r"(hash|sha256|md5)\S*[ -]mismatch|mismatch\w* (hash|sha256|md5)", re.IGNORECASE)


class RattlerSession(Session):
    """One child process that solves and installs."""

    def __init__(
        self,
        request: Request,
        cache: Cache,
        work: Path,
        progress: ProgressCallback,
        *,
        locked: Solution | None = None,
    ) -> None:
        """`locked`: install exactly these packages, without solving."""
        self._locked = locked
        if importlib.util.find_spec("rattler") is None:
            raise SolverMissing.extra(
                "py-rattler, which solves for packages,",
                "put conda, mamba or micromamba on the PATH and name it as the solver",
            )
        self._request, self._cache, self._work, self._progress = request, cache, work, progress
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the session)
        # In a new process session: Ctrl-C in a terminal interrupts this process only; `close` then kills the child.
        self._child = subprocess.Popen(
            [sys.executable, str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def close(self) -> None:
        self._child.kill()  # safe at any time: its output is checked before it is used
        self._child.communicate()
        self._stderr.close()

    def solve(self) -> Solution:
        request = self._request
        if self._locked is not None:
            return self._locked
        self._progress(Progress(Stage.SOLVE, f"{', '.join(request.specs)} from {_channels(request)}"))
        reply = self._ask(
            "solve",
            specs=list(request.specs),
            channels=list(request.channels),
            native=runs_here(request.platform),
            repodata=str(self._cache.repodata),
        )
        found = Solution.from_json(request.platform, reply["records"])
        return Solution.of(found.platform, found.records, request.variables)

    def install(self) -> Path:
        prefix = self._work / "prefix"
        if self._locked is not None:
            self._fetch(self._locked)
        self._ask("install", prefix=str(prefix), embedded=EMBEDDED_PREFIX, packages=str(self._cache.packages))
        return prefix

    def read_lock(self, path: Path, environment: str) -> list[dict[str, str]]:
        """The packages of a pixi.lock for the request's platform: kind, url, digest; for PyPI packages name and version."""
        reply = self._ask("read_lock", path=str(path), environment=environment)
        return list(reply["packages"])

    def _fetch(self, locked: Solution) -> None:
        """Lets the child download the packages, check their digests and read their descriptions."""
        packages = [
            {
                "name": record.name,
                "version": record.version,
                "build": record.build,
                "subdir": record.subdir,
                "file_name": record.file_name,
                "url": record.source,
                "digest": record.digest,
            }
            for record in locked.conda
        ]
        self._progress(Progress(Stage.DOWNLOAD, f"{len(packages)} locked packages"))
        self._ask("fetch", locked=packages, prefix=str(self._work / "fetched"), packages=str(self._cache.packages))

    def _ask(self, command: str, **fields: object) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        message = {"command": command, "platform": self._request.platform, **fields}
        try:
            self._child.stdin.write(json.dumps(message) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise self._crashed(command) from None
        for line in self._child.stdout:
            event = json.loads(line)
            if event["event"] == "progress":
                self._progress(Progress(Stage(event["stage"]), event["message"], event["done"], event["total"]))
            elif event["event"] == "error":
                raise explained(self._request, event)
            else:
                return dict(event)
        raise self._crashed(command)

    def _crashed(self, command: str) -> EnvironmentFailed:
        code = self._child.wait()
        self._stderr.seek(0)
        last = without_secrets(self._stderr.read().decode(errors="replace").strip()[-LONGEST_REASON:])
        return EnvironmentFailed(
            f"The solver's process ended (exit code {code}) during {command!r}: {last or 'no message'}"
        )


def explained(request: Request, error: Mapping[str, str]) -> EnvironmentFailed:
    """The exception for an error that the child reported."""
    kind, reason = error["kind"], shortened(without_secrets(error["message"]))
    packages, channels = ", ".join(request.specs) or "the locked packages", _channels(request) or "their addresses"
    if DISK_FULL.search(reason):
        return DiskFull(f"No space is left for the environment {packages}: {reason}")
    if kind == "SolverError":
        reason = reason.removeprefix("Cannot solve the request because of: ")
        return SolveError(
            f"No environment has {packages} ({request.platform}, channels {channels}): {reason}\n"
            "Check the spelling, relax the versions, or add a channel that has the package."
        )
    if kind in {"InvalidMatchSpecError", "InvalidPackageNameError", "InvalidVersionSpecError"}:
        return BadPackageSpec(f"Invalid specification among {packages}: {reason}")
    if kind in {"GatewayError", "FetchRepoDataError", "InvalidUrlError", "InvalidChannelError"}:
        not_there = bool(NOT_THERE.search(reason))
        hint = "Is it a channel?" if not_there else "Is the network up? Is a proxy needed?"
        message = f"A channel of {channels} could not be read: {reason}\n{hint}"
        return ChannelUnreachable(message, transient=not not_there)
    if kind == "BadPlatform":
        return PlatformMismatch(f"The lock has no packages for {request.platform}: {reason}")
    if kind == "NotInLock":
        return BadLock(reason)
    if kind == "BadLock" or _DIGEST_MISMATCH.search(reason):
        return BadLock(f"A package is not the one of the channel or lock, its digest differs: {reason}")
    if _NOT_REACHED.search(reason):
        return ChannelUnreachable(f"A package of {packages} could not be fetched from {channels}: {reason}")
    return EnvironmentFailed(f"Installing {packages} from {channels} failed ({kind}): {reason}")


def _channels(request: Request) -> str:
    return ", ".join(without_secrets(channel) for channel in request.channels)
