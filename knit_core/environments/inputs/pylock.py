"""Between uv's lock (pylock.toml, PEP 751) and package records. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

from knit_core.environments.errors import BadLock, BadPackageSpec
from knit_core.environments.request import without_secrets
from knit_core.environments.solution import Record, written_url

_VCS = re.compile(r"(git|hg|bzr|svn)\+")


class Target:
    """The Python that packages are for: which wheels fit it best, which markers are true."""

    def __init__(self, version: str, platform: str) -> None:
        """`version` like "3.11.7"; `platform` is conda's name and this machine's."""
        from packaging import tags

        major, minor = (int(part) for part in version.split(".")[:2])
        interpreter = f"cp{major}{minor}"
        platforms = [*tags.platform_tags()]
        order = [
            *tags.cpython_tags((major, minor), [interpreter], platforms),
            *tags.compatible_tags((major, minor), interpreter, platforms),
        ]
        self.platform = platform
        self._rank = {tag: place for place, tag in reversed([*enumerate(order)])}
        self._markers = {
            "python_version": f"{major}.{minor}",
            "python_full_version": version,
            "implementation_name": "cpython",
            "implementation_version": version,
            "platform_python_implementation": "CPython",
            "extra": "",
        }

    def holds(self, marker: str) -> bool:
        """Whether a dependency's condition is true here."""
        from packaging.markers import Marker, default_environment

        environment: dict[str, Any] = {
            **default_environment(),
            **self._markers,
            "extras": set(),
            "dependency_groups": set(),
        }
        return Marker(marker).evaluate(environment, "lock_file")

    def best(self, wheels: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """The wheel that an installer would take."""
        ranked = [(rank, wheel) for wheel in wheels if (rank := self._rank_of(file_name(wheel))) is not None]
        return min(ranked, key=lambda each: each[0])[1] if ranked else None

    def _rank_of(self, name: str) -> int | None:
        from packaging.utils import InvalidWheelFilename, parse_wheel_filename

        try:
            ranks = [self._rank[tag] for tag in parse_wheel_filename(name)[3] if tag in self._rank]
        except InvalidWheelFilename:
            return None
        return min(ranks, default=None)


def file_name(entry: Mapping[str, Any]) -> str:
    """The file name of a lock's wheel, sdist or archive."""
    return str(entry.get("name") or PurePosixPath(_path(entry.get("url") or entry.get("path") or "")).name)


def records(document: Mapping[str, Any], target: Target, folder: Path) -> list[Record]:
    """The packages of a lock for one Python.

    `folder` is where relative paths begin. Raises `BadPackageSpec` for what cannot travel or be locked (editable
    packages, folders), `BadLock` for what is no lock.
    """
    try:
        packages = document.get("packages", [])
        return [
            _record(each, target, folder) for each in packages if target.holds(each.get("marker", "python_version>'0'"))
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise BadLock(f"This is not a pylock.toml as PEP 751 has it: {error!r}") from error


def _record(package: Mapping[str, Any], target: Target, folder: Path) -> Record:
    name, version = package["name"], str(package.get("version", ""))
    if directory := package.get("directory"):
        raise BadPackageSpec(
            f"{name} is a folder ({directory.get('path')}), which a lock cannot fix: build a wheel of it (pip wheel) and "
            "name that, or ship the running environment (venv=True), which takes the sources along"
        )
    if vcs := package.get("vcs"):
        source = f"{vcs.get('type', 'git')}+{vcs.get('url') or vcs.get('path')}@{vcs['commit-id']}"
        url = without_secrets(source)
        return Record(name, version, "", "", name, vcs["commit-id"], url, "pypi", source=source)
    entry = package.get("archive") or target.best(package.get("wheels") or ()) or package.get("sdist")
    if entry is None:
        raise BadPackageSpec(f"{name} {version} has neither a wheel for this Python and platform nor a source archive")
    return entry_record(name, version, entry, folder, target.platform)


def entry_record(name: str, version: str, entry: Mapping[str, Any], folder: Path, platform: str) -> Record:
    """The record of one file of an index, or of this machine."""
    file = file_name(entry)
    pure = file.endswith(("-any.whl", ".tar.gz", ".zip"))
    source = entry.get("url") or (folder / entry["path"]).absolute().as_uri()
    subdir = "noarch" if pure else platform
    digest = (entry.get("hashes") or {}).get("sha256", "")
    size = int(entry.get("size") or 0)
    return Record(name, version, "", subdir, file, digest, written_url(source, subdir, file), "pypi", size, source)


def pylock(found: Iterable[Record], *, credentials: bool = True) -> dict[str, Any]:
    """A lock of these packages, each with the one file that was chosen; to install from, or to keep (no credentials)."""
    packages: list[dict[str, Any]] = []
    for record in found:
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
