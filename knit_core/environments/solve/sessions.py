"""The seam between the builder and what solves and installs packages: py-rattler, or a conda program."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from knit_core.environments.cache import Cache
from knit_core.environments.pack.packing import Installed
from knit_core.environments.progress import ProgressCallback
from knit_core.environments.request import Request
from knit_core.environments.solution import Solution

if TYPE_CHECKING:
    from knit_core.environments.inputs.locks import Lock
    from knit_core.environments.solve.venv import Venv


class Session(Protocol):
    """One build's conversation with a solver; leaving the context ends whatever process runs."""

    def solve(self) -> Solution:
        """Which packages; raises `SolveError`, `ChannelUnreachable` or another `EnvironmentFailed`."""
        ...

    def install(self) -> Installed:
        """Puts the solution's packages into a prefix below the session's work folder."""
        ...

    def __enter__(self) -> Session: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def open_session(build_request: Request | Lock | Venv, cache: Cache, work: Path, progress: ProgressCallback) -> Session:
    """A session of what answers the wish: a solver, a lock file's packages, a virtual environment's."""
    if isinstance(build_request, Request):
        return _request_session(build_request, cache, work, progress)
    from knit_core.environments.inputs.locks import Lock

    if isinstance(build_request, Lock):
        return _lock_session(build_request, cache, work, progress)
    from knit_core.environments.solve.venv import VenvSession

    return VenvSession(build_request, cache, work, progress)


def _request_session(request: Request, cache: Cache, work: Path, progress: ProgressCallback) -> Session:
    if not request.specs:
        from knit_core.environments.solve.python_session import HereSession, PipSession, interpreter

        here = HereSession(interpreter(request.python, cache, work), cache, work, progress)
        return PipSession(here, request, cache, work, progress)
    below: Session
    if request.solver == "rattler":
        from knit_core.environments.solve.rattler import RattlerSession

        below = RattlerSession(request, cache, work, progress)
    else:
        from knit_core.environments.solve.conda import CondaSession

        below = CondaSession(request, work, progress)
    if not request.has_pip:
        return below
    from knit_core.environments.solve.python_session import PipSession

    return PipSession(below, request, cache, work, progress)


def _lock_session(lock: Lock, cache: Cache, work: Path, progress: ProgressCallback) -> Session:
    from knit_core.environments.solve.python_session import LockedHereSession, PipSession
    from knit_core.environments.solve.rattler import RattlerSession

    request = Request((), (), lock.platform, "rattler", variables=lock.variables)
    below: Session
    if lock.python:
        below = LockedHereSession(lock, cache, work, progress)
    else:
        conda = Solution.of(lock.platform, lock.solution.conda, lock.variables)
        below = RattlerSession(request, cache, work, progress, locked=conda)
    pypi = lock.solution.pypi
    return PipSession(below, request, cache, work, progress, pypi) if pypi or lock.python else below
