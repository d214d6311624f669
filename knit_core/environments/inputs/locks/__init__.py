"""Input by lock files. Each kind has one file; two kinds are written too, by `knit env lock`:

    conda_lock.py   conda-lock.yml, with conda and pip packages: of conda-lock, mamba and micromamba; written by Knit
    pylock.py       pylock.toml (PEP 751), with packages of an index only: of uv and pip; written by Knit
    explicit.py     a list with the line @EXPLICIT and addresses with #md5 or #sha256: of `conda list --explicit`
    pixi.py         pixi.lock, one of its environments, read by py-rattler

To add a kind: a file here that reads it to a `Lock`, and its case in `is_lock` and `_read`. uv.lock is
not among them: uv reads it, see `requirements.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

from knit_core.environments.cache import Cache
from knit_core.environments.errors import BadLock
from knit_core.environments.inputs.locks import conda_lock, explicit, pixi, pylock
from knit_core.environments.inputs.locks.lock import Lock
from knit_core.environments.platforms import checked_platform
from knit_core.environments.solution import Solution


def is_lock(path: Path) -> bool:
    """Whether a file is a lock of one of these kinds, by its name and its text."""
    if path.name == "uv.lock":
        return False
    if pylock.is_pylock(path) or path.name == pixi.NAME:
        return True
    if path.suffix not in {".yml", ".yaml", ".txt", ".lock"}:
        return False
    text = path.read_text(errors="replace")
    return explicit.is_explicit(text) or (
        path.suffix != ".txt" and re.search(r"^package:", text, re.MULTILINE) is not None
    )


def lock_source(path: Path, part: str, platform: str | None, cache: Cache) -> Lock:
    """The lock in a file; of a pixi.lock its environment `part`.

    Raises `BadLock` (not a valid lock, no packages, or a package without a digest), `PlatformMismatch`.
    """
    target = checked_platform(platform)
    lock = pixi.read(path, part, target, cache) if path.name == pixi.NAME else _read(path, target)
    if not lock.records:
        raise BadLock(f"{path} has no packages for {target}")
    return lock


def _read(path: Path, platform: str) -> Lock:
    text = path.read_text(errors="replace")
    try:
        if path.suffix == ".toml":
            return pylock.read(text, path, platform)
        if explicit.is_explicit(text):
            return explicit.read(text, path, platform)
        return conda_lock.read(text, path, platform)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadLock(f"{path} is not a valid lock file of its kind: {type(error).__name__} {error}") from error


def lock_text(solution: Solution, request_key: str) -> str:
    """A solution as a lock file's text: conda-lock's YAML, or pylock.toml if all packages are from an index."""
    lock = Lock.of(solution, request_key)
    return pylock.write(lock) if lock.python else conda_lock.write(lock)


split_pixi_name = pixi.split_name

__all__ = ["Lock", "is_lock", "lock_source", "lock_text", "split_pixi_name"]
