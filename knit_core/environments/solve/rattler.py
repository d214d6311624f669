"""Solving and installing with py-rattler, which works without any conda on the machine, in a child process."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
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
from knit_core.environments.pack.packing import Installed
from knit_core.environments.pack.tarball import EMBEDDED_PREFIX
from knit_core.environments.progress import Progress, ProgressCallback, Stage
from knit_core.environments.request import Request, runs_here, shortened, without_secrets
from knit_core.environments.solution import Solution

_PROGRAM = Path(__file__).parents[1] / "programs" / "solve_with_rattler.py"
_LONGEST_REASON = 1500  # characters of a solver's explanation
_SAYS_THERE_IS_NOTHING = re.compile(r"\b(404|403|401|410)\b|could not find subdir|No such file", re.IGNORECASE)
_ABOUT_THE_NETWORK = re.compile(r"error sending request|HTTP status|Failed to fetch|failed to download", re.IGNORECASE)
_OTHER_BYTES = re.compile(r"(hash|sha256|md5)\S*[ -]mismatch|mismatch\w* (hash|sha256|md5)", re.IGNORECASE)
_DISK_FULL = re.compile(r"No space left|os error 28|Disk quota|os error 122", re.IGNORECASE)


class RattlerSession:
    """One child process that solves and, if asked to, installs."""

    def __init__(
        self,
        request: Request,
        cache: Cache,
        work: Path,
        progress: ProgressCallback,
        *,
        locked: Solution | None = None,
    ) -> None:
        """`locked`: exactly these packages, nothing is solved for."""
        self._locked = locked
        if importlib.util.find_spec("rattler") is None:
            raise SolverMissing.extra(
                "py-rattler, which solves for packages,",
                "have conda, mamba or micromamba on the PATH and name it as the solver",
            )
        self._request, self._cache, self._work, self._progress = request, cache, work, progress
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the session)
        # A session of its own: Ctrl-C in a terminal reaches this process only, which then ends the child.
        self._child = subprocess.Popen(
            [sys.executable, str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def __enter__(self) -> RattlerSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._child.kill()  # it has nothing to tidy up: what it writes is checked before it is used
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

    def install(self) -> Installed:
        prefix = self._work / "prefix"
        if self._locked is not None:
            self._fetch(self._locked)
        self._ask("install", prefix=str(prefix), embedded=EMBEDDED_PREFIX, packages=str(self._cache.packages))
        return Installed(prefix, EMBEDDED_PREFIX)

    def read_lock(self, path: Path, environment: str) -> list[dict[str, str]]:
        """What a pixi.lock has for the request's platform: kind, url and digest, and PyPI's name and version."""
        reply = self._ask("read_lock", path=str(path), environment=environment)
        return list(reply["packages"])

    def _fetch(self, locked: Solution) -> None:
        """Makes the child know the packages by their own descriptions; each is checked against its digest."""
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
        last = without_secrets(self._stderr.read().decode(errors="replace").strip()[-_LONGEST_REASON:])
        return EnvironmentFailed(
            f"The solver's process ended (exit code {code}) during {command!r}: {last or 'no message'}"
        )


def explained(request: Request, error: Mapping[str, str]) -> EnvironmentFailed:
    """The exception for an error that the child reported: what was tried, what came back, what to do."""
    kind, reason = error["kind"], shortened(without_secrets(error["message"]))
    wanted, channels = ", ".join(request.specs) or "the locked packages", _channels(request) or "where they are"
    if _DISK_FULL.search(reason):
        return DiskFull(f"No space is left for the environment {wanted}: {reason}")
    if kind == "SolverError":
        reason = reason.removeprefix("Cannot solve the request because of: ")
        return SolveError(
            f"No environment has {wanted} ({request.platform}, channels {channels}): {reason}\n"
            "Check the spelling, loosen the versions or add a channel that has the package."
        )
    if kind in {"InvalidMatchSpecError", "InvalidPackageNameError", "InvalidVersionSpecError"}:
        return BadPackageSpec(f"Among {wanted}: {reason}")
    if kind in {"GatewayError", "FetchRepoDataError", "InvalidUrlError", "InvalidChannelError"}:
        nothing = bool(_SAYS_THERE_IS_NOTHING.search(reason))
        hint = "Is it a channel?" if nothing else "Is the network there, is a proxy needed?"
        return ChannelUnreachable(f"A channel of {channels} could not be read: {reason}\n{hint}", transient=not nothing)
    if kind == "BadPlatform":
        return PlatformMismatch(f"The lock is for another platform than {request.platform}: {reason}")
    if kind == "NotInLock":
        return BadLock(reason)
    if kind == "BadLock" or _OTHER_BYTES.search(reason):
        return BadLock(f"A package is not the one that the channel or the lock names: {reason}")
    if _ABOUT_THE_NETWORK.search(reason):
        return ChannelUnreachable(f"A package of {wanted} could not be fetched from {channels}: {reason}")
    return EnvironmentFailed(f"Installing {wanted} from {channels} failed ({kind}): {reason}")


def _channels(request: Request) -> str:
    return ", ".join(without_secrets(channel) for channel in request.channels)
