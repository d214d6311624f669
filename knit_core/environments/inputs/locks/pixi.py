"""pixi.lock: conda and pip packages of several environments. py-rattler reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from knit_core.environments.cache import Cache
from knit_core.environments.errors import BadLock, EnvironmentFailed, PlatformMismatch
from knit_core.environments.inputs.locks.lock import Lock, checked_digest, conda_record
from knit_core.environments.progress import silent
from knit_core.environments.solution import Record
from knit_core.environments.solve.pypi_records import index_record

NAME = "pixi.lock"


def split_name(path: Path) -> tuple[Path, str]:
    """The file, and the name of a pixi.lock's environment: `…/pixi.lock:test` has `test`, else it is `default`."""
    name, colon, part = path.name.partition(":")
    named = colon and name == NAME and not path.exists()
    return (path.with_name(name), part) if named else (path, "default")


def read(path: Path, part: str, platform: str, cache: Cache) -> Lock:
    """The packages of the environment `part`."""
    from knit_core.environments.solve.rattler import RattlerSession
    from knit_core.environments.solve.request import Request

    request = Request((), (), platform, "rattler")
    with cache.work_folder() as work, RattlerSession(request, cache, work, silent) as session:
        try:
            found = session.read_lock(path, part)
        except PlatformMismatch:
            raise
        except BadLock as error:
            raise BadLock(f"{path} has no environment {part}: {error}") from error
        except EnvironmentFailed as error:
            raise BadLock(f"{path} cannot be read as a pixi.lock: {error}") from error
    return Lock(platform, tuple(_record(package, path, platform) for package in found), path=path)


def _record(package: Mapping[str, str], path: Path, platform: str) -> Record:
    """`package`: kind, address and digest; of an index also name and version."""
    url, digest = package["url"], package["digest"]
    if "://" not in url:  # a path relative to the lock
        url = (path.parent / url).resolve().as_uri()
    if package["kind"] == "conda":
        return conda_record(url, digest, path)
    return index_record(package["name"], package["version"], url, checked_digest(digest, url, path), platform)
