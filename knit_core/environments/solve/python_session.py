"""A session that copies a Python of this machine, and one that installs packages of an index on top of another session."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from knit_core.environments.cache import Cache
from knit_core.environments.errors import BadLock, BadPackageSpec
from knit_core.environments.pack.wheels import normalize_wheels, write_stubs
from knit_core.environments.platforms import machine_platform
from knit_core.environments.progress import Progress, ProgressCallback, Stage
from knit_core.environments.solution import Record, Solution
from knit_core.environments.solve.base_python import BasePython, base_python
from knit_core.environments.solve.pypi_records import pylock, records_of_pylock
from knit_core.environments.solve.request import Request
from knit_core.environments.solve.session import Session
from knit_core.environments.solve.uv import Uv


class PythonSession(Session):
    """A relocatable copy of a Python of this machine."""

    def __init__(self, interpreter: Path, cache: Cache, work: Path, progress: ProgressCallback) -> None:
        """`interpreter`: of an installation or of a virtual environment."""
        self.interpreter = interpreter
        self._cache, self._work, self._progress = cache, work, progress
        self._base: BasePython | None = None

    def solve(self) -> Solution:
        self._progress(Progress(Stage.SOLVE, f"python of {self.interpreter}"))
        self._base = base_python(self.interpreter, self._cache)
        return Solution.of(machine_platform(), [self._base.record])

    def install(self) -> Path:
        assert self._base is not None
        prefix = self._work / "prefix"
        self._base.copy_to(prefix)
        return prefix


class LockedPythonSession(PythonSession):
    """The Python of this machine that a lock was made with. `solve` raises `BadLock` if it is another one now."""

    def __init__(self, version: str, digest: str, cache: Cache, work: Path, progress: ProgressCallback) -> None:
        """`digest`: of the Python's files; empty: not checked."""
        self._version, self._digest = version, digest
        minor = version.rpartition(".")[0]
        super().__init__(find_interpreter(minor, cache, work), cache, work, progress)

    def solve(self) -> Solution:
        found = super().solve()
        record = found.python
        assert record is not None
        if record.version != self._version or self._digest not in {"", record.digest}:
            other = "another build of it" if record.version == self._version else f"Python {record.version}"
            raise BadLock(
                f"The lock is for a Python {self._version} of the machine that it was made on. This machine has {other}: "
                "make the lock again here, or name channels to take Python from there"
            )
        return found


class PipSession(Session):
    """Packages of an index on top of another session's packages: resolved by uv, or locked."""

    def __init__(
        self,
        base: Session,
        request: Request,
        cache: Cache,
        work: Path,
        progress: ProgressCallback,
        locked: Sequence[Record] | None = None,
    ) -> None:
        """`locked`: install exactly these packages, without resolving."""
        self._base, self._request, self._work, self._progress = base, request, work, progress
        self._files = work / "pip"
        self._files.mkdir(exist_ok=True)
        self._what = request.summary or f"{len(locked or ())} locked packages"
        self._uv = Uv(cache.root / "uv", self._files, self._what)
        self._locked = locked
        self._prefix: Path | None = None
        self._records: Sequence[Record] = ()
        self.embedded = base.embedded

    def close(self) -> None:
        self._base.close()

    def solve(self) -> Solution:
        found = self._base.solve()
        if found.python is None:
            raise BadPackageSpec(f"pip packages ({self._what}) need a Python: add python to the packages")
        self._records = self._locked if self._locked is not None else self._resolve(found, found.python)
        return Solution.of(found.platform, [*found.records, *self._records], self._request.variables)

    def install(self) -> Path:
        prefix = self._prefix or self._base.install()
        total = sum(record.size for record in self._records) or None
        self._progress(Progress(Stage.DOWNLOAD, self._what, 0, total))
        python = prefix / "bin" / "python"
        self._uv.install(pylock(self._records), python, lambda line: self._on_line(line, total))
        normalize_wheels(prefix, self._records)
        return prefix

    def _on_line(self, line: str, total: int | None) -> None:
        if line.startswith("Prepared "):
            self._progress(Progress(Stage.DOWNLOAD, line, total, total))
        elif line.startswith("Installed "):
            self._progress(Progress(Stage.LINK, line, len(self._records), len(self._records)))

    def _resolve(self, found: Solution, python: Record) -> list[Record]:
        installed: dict[str, str] = {}
        stubs = None
        if isinstance(self._base, PythonSession):
            interpreter = self._base.interpreter
        else:  # the PyPI names and versions of conda packages are known only after their installation
            self._prefix = self._base.install()
            interpreter = self._prefix / "bin" / "python"
            stubs = self._files / "installed"
            installed = write_stubs(self._prefix, stubs)
        self._progress(Progress(Stage.SOLVE, f"{self._what} from the configured package index"))
        records = records_of_pylock(
            self._pylock(interpreter, installed, stubs),
            python=python.version,
            platform=found.platform,
            folder=self._request.file.parent if self._request.file else self._files,
            origin=f"uv's lock for {self._what}",
        )
        return [record for record in records if installed.get(canonicalize_name(record.name)) != record.version]

    def _pylock(self, interpreter: Path, installed: dict[str, str], stubs: Path | None) -> dict[str, Any]:
        file = self._request.file
        if file is not None and file.name == "uv.lock":
            return self._uv.export(file.parent)
        named = {canonicalize_name(_name_of(requirement)) for requirement in self._request.pip}
        fixed = {name: version for name, version in installed.items() if name not in named}
        return self._uv.resolve(file or self._request.pip, interpreter, fixed, stubs)


def _name_of(requirement: str) -> str:
    try:
        return Requirement(requirement).name
    except InvalidRequirement:  # a path or URL: its name is known after the build of its package
        return ""


def find_interpreter(version: str, cache: Cache, work: Path) -> Path:
    """A Python of this machine by its version, like "3.12"; empty: the running one."""
    running = ".".join(map(str, sys.version_info[:3]))
    if not version or running == version or running.startswith(f"{version}."):
        return Path(sys.executable)
    return Uv(cache.root / "uv", work, f"python {version}").find_python(version)
