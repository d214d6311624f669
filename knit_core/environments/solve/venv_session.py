"""Copying a virtual environment of this machine onto a relocatable copy of its Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from knit_core.environments.cache import Cache
from knit_core.environments.pack.conda_meta import write_file_list
from knit_core.environments.pack.tarball import BINARY_HEAD, relocated, replace_in_binary
from knit_core.environments.pack.wheels import is_private_address, read_record, record_entry, record_text
from knit_core.environments.progress import Progress, ProgressCallback, Stage
from knit_core.environments.solution import Record, Solution
from knit_core.environments.solve.python_session import PythonSession

#: Relative path in the environment -> file of this machine.
Files = Mapping[str, Path]


class VenvSession(PythonSession):
    """The packages of a virtual environment, and a copy of its Python."""

    def __init__(
        self,
        python: Path,
        venv: Path,
        packages: Callable[[], Iterable[tuple[Record, Files]]],
        cache: Cache,
        work: Path,
        progress: ProgressCallback,
    ) -> None:
        """Installs nothing yet.

        Args:
            python: the virtual environment's interpreter.
            venv: the virtual environment's folder.
            packages: lists its packages with their files.
            cache: keeps the copied Python.
            work: the build's folder.
            progress: gets events.
        """
        super().__init__(python, cache, work, progress)
        self._venv, self._list_packages = venv, packages
        self._packages: list[tuple[Record, Files]] = []

    def solve(self) -> Solution:
        base = super().solve()
        self._progress(Progress(Stage.SOLVE, f"what is installed in {self._venv}"))
        self._packages = [*self._list_packages()]
        return Solution.of(base.platform, [*base.records, *(record for record, _ in self._packages)])

    def install(self) -> Path:
        prefix = super().install()
        for number, (record, files) in enumerate(self._packages, 1):
            for relative, source in files.items():
                target = prefix / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(shipped_bytes(source, self._venv))
                target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
            write_file_list(prefix, record, sorted(files))
            self._progress(Progress(Stage.LINK, record.name, number, len(self._packages)))
        return prefix


def shipped_bytes(path: Path, venv: Path) -> bytes:
    """A file's bytes without the path of the virtual environment."""
    data = path.read_bytes()
    if path.name == "RECORD" and path.parent.suffix == ".dist-info":
        return _shipped_record(path, venv)
    if str(venv).encode() not in data:
        return data
    return replace_in_binary(data, str(venv)) if b"\0" in data[:BINARY_HEAD] else relocated(data, str(venv))


def _shipped_record(path: Path, venv: Path) -> bytes:
    """RECORD of the shipped files: scripts have other bytes, bytecode and private addresses are left out."""
    rows = []
    for row in read_record(path.parent):
        file = Path(os.path.normpath(path.parent.parent / row[0]))
        if file.suffix == ".pyc" or not file.is_file() or is_private_address(file):
            continue
        is_script = file.parent == venv / "bin"
        rows.append([row[0], *record_entry(shipped_bytes(file, venv))] if is_script else row)
    return record_text(rows)
