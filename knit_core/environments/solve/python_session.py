"""Sessions that put pip packages on top of what another session brings, and the one that brings a Python of this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from knit_core.environments.cache import Cache
from knit_core.environments.errors import BadLock, BadPackageSpec
from knit_core.environments.inputs import pylock
from knit_core.environments.inputs.locks import Lock
from knit_core.environments.pack.packing import Installed
from knit_core.environments.pack.tarball import EMBEDDED_PREFIX
from knit_core.environments.pack.wheels import canonical, note_wheels, write_stubs
from knit_core.environments.progress import Progress, ProgressCallback, Stage
from knit_core.environments.request import Request, machine_platform
from knit_core.environments.solution import Record, Solution
from knit_core.environments.solve.base_python import BasePython, base_python
from knit_core.environments.solve.sessions import Session
from knit_core.environments.solve.uv import Uv


class HereSession:
    """A Python of this machine, made to run from any folder."""

    def __init__(self, interpreter: Path | None, cache: Cache, work: Path, progress: ProgressCallback) -> None:
        """`interpreter`: a Python, a virtual environment's too; default: the one that runs this."""
        self.interpreter = interpreter or Path(sys.executable)
        self._cache, self._work, self._progress = cache, work, progress
        self._base: BasePython | None = None

    def __enter__(self) -> HereSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def solve(self) -> Solution:
        self._progress(Progress(Stage.SOLVE, f"python of {self.interpreter}"))
        self._base = base_python(self.interpreter, self._cache)
        return Solution.of(machine_platform(), [self._base.record])

    def install(self) -> Installed:
        assert self._base is not None
        prefix = self._work / "prefix"
        self._base.copy_to(prefix)
        return Installed(prefix, EMBEDDED_PREFIX)


class PipSession:
    """pip packages on top of another session's: resolved by uv, or as a lock has them."""

    def __init__(
        self,
        below: Session,
        request: Request,
        cache: Cache,
        work: Path,
        progress: ProgressCallback,
        locked: Sequence[Record] | None = None,
    ) -> None:
        """`locked`: exactly these, nothing is resolved."""
        self._below, self._request, self._work, self._progress = below, request, work, progress
        self._files = work / "pip"
        self._files.mkdir(exist_ok=True)
        self._what = request.wanted or f"{len(locked or ())} locked packages"
        self._uv = Uv(cache.root / "uv", self._files, self._what)
        self._locked = locked
        self._installed: Installed | None = None
        self._wanted: Sequence[Record] = ()
        self._stack = ExitStack()

    def __enter__(self) -> PipSession:
        self._stack.enter_context(self._below)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def solve(self) -> Solution:
        found = self._below.solve()
        if found.python is None:
            raise BadPackageSpec(f"pip packages ({self._what}) need a Python: add python to the packages")
        self._wanted = self._locked if self._locked is not None else self._resolved(found, found.python)
        return Solution.of(found.platform, [*found.records, *self._wanted], self._request.variables)

    def install(self) -> Installed:
        done = self._installed or self._below.install()
        python = done.prefix / "bin" / "python"
        total = sum(record.size for record in self._wanted) or None
        self._progress(Progress(Stage.DOWNLOAD, self._what, 0, total))
        self._uv.install(pylock.pylock(self._wanted), python, lambda line: self._heard(line, total))
        note_wheels(done.prefix, self._wanted)
        return done

    def _heard(self, line: str, total: int | None) -> None:
        if line.startswith("Prepared "):
            self._progress(Progress(Stage.DOWNLOAD, line, total, total))
        elif line.startswith("Installed "):
            self._progress(Progress(Stage.LINK, line, len(self._wanted), len(self._wanted)))

    def _resolved(self, found: Solution, python: Record) -> list[Record]:
        there: dict[str, str] = {}
        stubs = None
        if isinstance(self._below, HereSession):
            interpreter = self._below.interpreter
        else:  # what conda brings is known by its PyPI names and versions once it is there
            self._installed = self._below.install()
            interpreter = self._installed.prefix / "bin" / "python"
            stubs = self._files / "installed"
            there = write_stubs(self._installed.prefix, stubs)
        self._progress(Progress(Stage.SOLVE, f"{self._what} from the configured package index"))
        document = self._document(interpreter, there, stubs)
        target = pylock.Target(python.version, found.platform)
        records = pylock.records(document, target, self._request_folder())
        return [record for record in records if there.get(canonical(record.name)) != record.version]

    def _document(self, interpreter: Path, there: dict[str, str], stubs: Path | None) -> dict[str, Any]:
        file = self._request.file
        if file is not None and file.name == "uv.lock":
            return self._uv.export(file.parent)
        asked = {canonical(name) for name in map(_name_of, self._request.pip)}
        fixed = {name: version for name, version in there.items() if name not in asked}
        return self._uv.resolve(file or self._request.pip, interpreter, fixed, stubs)

    def _request_folder(self) -> Path:
        return self._request.file.parent if self._request.file else self._files


def _name_of(requirement: str) -> str:
    """The name at the beginning of a requirement."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(requirement).name
    except InvalidRequirement:  # a path or URL: its name is known when it is built
        return ""


class LockedHereSession(HereSession):
    """The Python of this machine that a lock was made with, or an error."""

    def __init__(self, lock: Lock, cache: Cache, work: Path, progress: ProgressCallback) -> None:
        assert lock.python is not None
        self._version, self._digest = lock.python
        minor = self._version.rpartition(".")[0]
        super().__init__(interpreter(minor, cache, work), cache, work, progress)

    def solve(self) -> Solution:
        found = super().solve()
        record = found.python
        assert record is not None
        if record.version != self._version or self._digest not in {"", record.digest}:
            same = "another build of it" if record.version == self._version else f"Python {record.version}"
            raise BadLock(
                f"The lock is for a Python {self._version} of the machine that it was made on, and here is {same}: make "
                "the lock again here, or name channels so that Python comes from there"
            )
        return found


def interpreter(version: str, cache: Cache, work: Path) -> Path:
    """A Python of this machine by its version, like "3.12"; empty: the one that runs this."""
    running = ".".join(map(str, sys.version_info[:3]))
    if not version or running == version or running.startswith(f"{version}."):
        return Path(sys.executable)
    return Uv(cache.root / "uv", work, f"python {version}").find_python(version)
