"""Input by requirements.txt, pyproject.toml or uv.lock: uv reads the file, here it is checked and its digest is computed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from knit_core.environments.errors import BadEnvironmentFile

_PROJECT_FILES = ("pyproject.toml", "uv.lock")
_INCLUDES = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)")
_EDITABLE = re.compile(r"^\s*(-e|--editable)\b")


def is_requirements(path: Path) -> bool:
    """Whether a file is of this kind, by its name."""
    return path.suffix == ".txt" or path.name in _PROJECT_FILES


def requirements_digest(path: Path) -> str:
    """A digest of the file and of all files that it includes.

    Raises `BadEnvironmentFile` for editable requirements and missing included files.
    """
    digest = hashlib.sha256()
    for file in _with_includes(path, set()):
        digest.update(file.read_bytes() + b"\0")
    if path.name == "uv.lock":
        project = path.with_name("pyproject.toml")
        if not project.is_file():
            raise BadEnvironmentFile(f"{path} has no pyproject.toml beside it, which uv needs to read it")
        digest.update(project.read_bytes())
    return digest.hexdigest()


def _with_includes(path: Path, seen: set[Path]) -> Iterator[Path]:
    if path in seen:
        return
    seen.add(path)
    yield path
    if path.name in _PROJECT_FILES:
        return
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if _EDITABLE.match(line):
            raise BadEnvironmentFile(
                f"{path}, line {number}: {line.strip()!r} stays in its source folder: build a wheel of it (pip wheel) and "
                "name the wheel, or ship the running environment (venv=True), which includes the sources"
            )
        if match := _INCLUDES.match(line):
            if "://" in match[1]:
                continue
            included = path.parent / match[1]
            if not included.is_file():
                raise BadEnvironmentFile(f"{path}, line {number}: {included} does not exist")
            yield from _with_includes(included, seen)
