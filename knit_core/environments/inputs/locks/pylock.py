"""pylock.toml (PEP 751): packages of an index, for a Python of this machine."""

from __future__ import annotations

import platform as machine
from pathlib import Path

import tomli
from packaging.pylock import is_valid_pylock_path as is_pylock

from knit_core.environments.errors import BadLock, PlatformMismatch
from knit_core.environments.inputs.locks.lock import CREATED, Lock, check_platform, checked_digest
from knit_core.environments.platforms import runs_here
from knit_core.environments.solve.pypi_records import pylock, records_of_pylock

__all__ = ["is_pylock", "read", "write"]


def read(text: str, path: Path, platform: str) -> Lock:
    """The packages for the Python that the lock was made with, or for the running one."""
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise BadLock(f"{path} is not TOML: {error}") from error
    knit = (document.get("tool") or {}).get("knit") or {}
    check_platform([knit.get("platform", platform)], platform, path)
    if not runs_here(platform):
        raise PlatformMismatch(f"{path} has pip packages, which need a Python for {platform}: it does not run here")
    python = knit.get("python") or machine.python_version()
    records = records_of_pylock(document, python=python, platform=platform, folder=path.parent, origin=str(path))
    for record in records:
        if "+" not in record.source.partition("://")[0]:  # not a repository
            checked_digest(record.digest, record.source, path)
    variables = tuple(sorted((knit.get("variables") or {}).items()))
    key = knit.get("request", "")
    return Lock(platform, tuple(records), key, (python, knit.get("python-digest", "")), variables, path)


def write(lock: Lock) -> str:
    """The lock as TOML, without credentials."""
    import tomli_w

    assert lock.python is not None
    document = pylock(lock.records, credentials=False)
    version, digest = lock.python
    knit = {"platform": lock.platform, "python": version, "python-digest": digest, "request": lock.request_key}
    document["tool"] = {"knit": {**knit, "variables": dict(lock.variables)}}
    return CREATED + tomli_w.dumps(document)
