"""Package records from a pylock.toml (PEP 751), and back. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

from knit_core.environments.errors import BadLock, BadPackageSpec
from knit_core.environments.redaction import without_secrets
from knit_core.environments.solution import Record, written_url

_VCS = re.compile(r"(git|hg|bzr|svn)\+")


def records_of_pylock(
    document: Mapping[str, Any], *, python: str, platform: str, folder: Path, origin: str
) -> list[Record]:
    """The packages of a pylock.toml for one Python.

    Args:
        document: the parsed file.
        python: the version of a CPython, like "3.11.7".
        platform: conda's name of this machine's platform.
        folder: where relative paths begin.
        origin: the lock's name in messages.

    Raises `BadLock` (not a pylock.toml), `BadPackageSpec` (the lock does not fit this Python, or has a folder, whose
    contents it does not fix).
    """
    from packaging.pylock import Pylock, PylockSelectError, PylockValidationError

    try:
        lock = Pylock.from_dict(document)
    except PylockValidationError as error:
        raise BadLock(f"{origin} is not a pylock.toml as PEP 751 defines it: {error}") from error
    try:
        chosen = [*lock.select(environment=_markers(python), tags=_tags(python))]
    except PylockSelectError as error:
        raise BadPackageSpec(f"{origin} does not fit Python {python} on {platform}: {error}") from error
    return [_record(package, source, folder, platform) for package, source in chosen]


def _markers(python: str) -> Any:
    """The values of a CPython of this machine in markers."""
    from packaging.markers import default_environment

    return {
        **default_environment(),
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python,
        "implementation_name": "cpython",
        "implementation_version": python,
        "platform_python_implementation": "CPython",
    }


def _tags(python: str) -> list[Any]:
    """The wheels that a CPython of this machine takes, the best first."""
    from packaging import tags

    major, minor = (int(part) for part in python.split(".")[:2])
    interpreter, platforms = f"cp{major}{minor}", [*tags.platform_tags()]
    return [
        *tags.cpython_tags((major, minor), [interpreter], platforms),
        *tags.compatible_tags((major, minor), interpreter, platforms),
    ]


def _record(package: Any, source: Any, folder: Path, platform: str) -> Record:
    """`source`: the directory, repository, archive, wheel or sdist that was chosen for the package."""
    name, version = str(package.name), str(package.version or "")
    if package.directory:
        raise BadPackageSpec(
            f"{name} is a folder ({source.path}), whose contents a lock does not fix: build a wheel of it (pip wheel) and "
            "name the wheel, or ship the running environment (venv=True), which includes the sources"
        )
    if package.vcs:
        address = f"{source.type}+{source.url or source.path}@{source.commit_id}"
        return Record(name, version, "", "", name, source.commit_id, without_secrets(address), "pypi", source=address)
    address = source.url or (folder / source.path).absolute().as_uri()
    file_name = "" if package.archive else source.filename
    digest = source.hashes.get("sha256", "")
    return index_record(name, version, address, digest, platform, file_name=file_name, size=source.size or 0)


def index_record(
    name: str, version: str, address: str, sha256: str, platform: str, *, file_name: str = "", size: int = 0
) -> Record:
    """The record of one file of an index, or of this machine."""
    file = file_name or PurePosixPath(_path(address)).name
    subdir = "noarch" if file.endswith(("-any.whl", ".tar.gz", ".zip")) else platform
    return Record(name, version, "", subdir, file, sha256, written_url(address, subdir, file), "pypi", size, address)


def pylock(records: Iterable[Record], *, credentials: bool = True) -> dict[str, Any]:
    """A pylock.toml of these packages: one file for each. `credentials`: keep those of addresses, to install from."""
    packages: list[dict[str, Any]] = []
    for record in records:
        source = record.source if credentials else without_secrets(record.source)
        package: dict[str, Any] = {"name": record.name}
        if _VCS.match(source):
            kind, rest = source.split("+", 1)
            package["vcs"] = {"type": kind, "url": rest.rpartition("@")[0], "commit-id": record.digest}
            packages.append(package)
            continue
        if record.version:
            package["version"] = record.version
        where = {"path": _path(source)} if source.startswith("file:") else {"url": source}
        entry = {**where, "hashes": {"sha256": record.digest}, **({"size": record.size} if record.size else {})}
        if record.file_name.endswith(".whl"):
            package["wheels"] = [entry]
        else:
            package["sdist"] = entry
        packages.append(package)
    return {"lock-version": "1.0", "created-by": "knit", "packages": packages}


def _path(url: str) -> str:
    return unquote(urlparse(url).path)
