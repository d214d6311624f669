"""Lock files: reading the kinds that there are, writing two of them.

    conda-lock.yml      conda packages, pip's too: what conda-lock, mamba and micromamba read; written by `knit env lock`
    pylock.toml         packages of an index only (PEP 751): what uv and pip read; written by `knit env lock`
    an explicit list    `@EXPLICIT` and URLs with #md5 or #sha256, as `conda list --explicit` prints
    pixi.lock           read by py-rattler (see rattler_backend), one environment of it

A lock that Knit wrote keeps the key of the request that it answers, so that a check needs no network.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlparse

import yaml

from knit_core.environments.errors import BadLock, PlatformMismatch
from knit_core.environments.inputs import pylock
from knit_core.environments.request import PLATFORMS, runs_here, without_secrets
from knit_core.environments.solution import Record, Solution, written_url

_CONDA_FILE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.(conda|tar\.bz2)")
_DIGEST = re.compile(r"(sha256:)?(?P<digest>[0-9a-f]{64}|[0-9a-f]{32})")
_CREATED = "# Made by `knit env lock`; change what it was made from, not this file.\n"


@dataclass(frozen=True)
class Lock:
    """Exactly these packages.

    Attributes:
        platform: conda's name for where they run.
        records: conda's and pip's; each with the address to get it from.
        request_key: of the request that it answers; empty when it is not known.
        python: version and digest of the Python of this machine that carries them, where none is among the packages.
        variables: to set in the environment.
        path: where the lock was read from, for messages.
    """

    platform: str
    records: tuple[Record, ...]
    request_key: str = ""
    python: tuple[str, str] | None = None
    variables: tuple[tuple[str, str], ...] = ()
    path: Path | None = field(default=None, compare=False)

    @property
    def solution(self) -> Solution:
        """The packages as a solver would have found them."""
        return Solution.of(self.platform, self.records, self.variables)

    @property
    def key(self) -> str:
        """64 hexadecimal digits, equal for locks of the same packages."""
        return hashlib.sha256(f"lock {self.python}\n".encode() + self.solution.lock()).hexdigest()

    def document(self) -> dict[str, Any]:
        """As it may be written down."""
        return {"lock": self.path.name if self.path else "", "platform": self.platform}

    @classmethod
    def of(cls, solution: Solution, request_key: str) -> Lock:
        """A lock of what a solver found."""
        base = next((record for record in solution.conda if not record.source), None)
        records = tuple(record for record in solution.records if record is not base)
        python = (base.version, base.digest) if base else None
        return cls(solution.platform, records, request_key, python, solution.variables)

    def with_channels(self, channels: Iterable[str]) -> Lock:
        """The lock with the credentials of these channels put back into the addresses of their packages."""
        secret = {without_secrets(channel): channel for channel in channels if without_secrets(channel) != channel}

        def source(record: Record) -> str:
            for plain, full in secret.items():
                if record.source.startswith(f"{plain}/"):
                    return full + record.source.removeprefix(plain)
            return record.source

        return replace(self, records=tuple(replace(record, source=source(record)) for record in self.records))


# -- writing


def lock_text(lock: Lock) -> str:
    """The lock as a file's text: conda-lock's YAML, or pylock.toml where everything is from a package index."""
    return _pylock_text(lock) if lock.python else _conda_lock_text(lock)


def _conda_lock_text(lock: Lock) -> str:
    channels = dict.fromkeys(_channel_of(record) for record in lock.records if record.kind == "conda")
    metadata: dict[str, Any] = {
        "content_hash": {lock.platform: lock.request_key},
        "channels": [{"url": channel, "used_env_vars": []} for channel in channels],
        "platforms": [lock.platform],
        "sources": ["knit"],
    }
    if lock.variables:
        metadata["custom_metadata"] = {"knit.variables": json.dumps(dict(lock.variables))}
    packages = [_conda_lock_package(record, lock.platform) for record in lock.records]
    document = {"version": 1, "metadata": metadata, "package": packages}
    return _CREATED + yaml.safe_dump(document, sort_keys=False, width=200)


def _conda_lock_package(record: Record, platform: str) -> dict[str, Any]:
    kind = "sha256" if len(record.digest) == 64 else "md5"
    depends = (depend.partition(" ") for depend in record.depends if not depend.startswith("__"))
    return {
        "name": record.name,
        "version": record.version,
        "manager": "pip" if record.kind == "pypi" else "conda",
        "platform": platform,
        "dependencies": {name: rest for name, _, rest in depends},
        "url": without_secrets(record.source),
        "hash": {kind: record.digest},
        "category": "main",
        "optional": False,
    }


def _channel_of(record: Record) -> str:
    return without_secrets(record.source).rsplit("/", 2)[0]


def _pylock_text(lock: Lock) -> str:
    import tomli_w

    assert lock.python is not None
    document = pylock.pylock(lock.records, credentials=False)
    version, digest = lock.python
    knit = {"platform": lock.platform, "python": version, "python-digest": digest, "request": lock.request_key}
    document["tool"] = {"knit": {**knit, "variables": dict(lock.variables)}}
    return _CREATED + tomli_w.dumps(document)


# -- reading


def is_lock(path: Path) -> bool:
    """Whether a file is a lock of one of the kinds that are read here, by its name and first bytes."""
    if re.fullmatch(r"pylock(\..+)?\.toml|pixi\.lock", path.name):
        return True
    if path.suffix not in {".yml", ".yaml", ".txt", ".lock"}:
        return False
    text = path.read_text(errors="replace")
    return re.search(r"^@EXPLICIT\s*$", text, re.MULTILINE) is not None or (
        path.suffix != ".txt" and re.search(r"^package:", text, re.MULTILINE) is not None
    )


def read_lock(path: Path, platform: str) -> Lock:
    """The lock in a file, but pixi's.

    Raises `BadLock` (the file cannot be read as one, or a package has no digest), `PlatformMismatch`.
    """
    text = path.read_text(errors="replace")
    try:
        if path.suffix == ".toml":
            return _read_pylock(text, path, platform)
        if re.search(r"^@EXPLICIT\s*$", text, re.MULTILINE):
            return _read_explicit(text, path, platform)
        return _read_conda_lock(text, path, platform)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadLock(f"{path} is not a lock file as its kind has to be: {type(error).__name__} {error}") from error


def _read_conda_lock(text: str, path: Path, platform: str) -> Lock:
    try:
        document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise BadLock(f"{path} is not YAML: {error}") from error
    if document.get("version") != 1:
        raise BadLock(
            f"{path} is a conda-lock file of version {document.get('version')}, which is not known here: use 1"
        )
    platforms = document["metadata"]["platforms"]
    _check_platform(platforms, platform, path)
    packages = [each for each in document["package"] if each.get("platform", platform) == platform]
    packages = [each for each in packages if each.get("category", "main") == "main"]
    records = tuple(_conda_lock_record(each, path, platform) for each in packages)
    variables = json.loads((document["metadata"].get("custom_metadata") or {}).get("knit.variables", "{}"))
    key = (document["metadata"].get("content_hash") or {}).get(platform, "")
    return Lock(platform, records, key, None, tuple(sorted(variables.items())), path)


def _conda_lock_record(package: Mapping[str, Any], path: Path, platform: str) -> Record:
    hashes = package.get("hash") or {}
    if package["manager"] == "pip":
        entry = {"url": package["url"], "hashes": {"sha256": _digest(hashes.get("sha256", ""), package["url"], path)}}
        return pylock.entry_record(package["name"], str(package["version"]), entry, path.parent, platform)
    return conda_record(package["url"], hashes.get("sha256") or hashes.get("md5") or "", path)


def _read_explicit(text: str, path: Path, platform: str) -> Lock:
    lines = [line.strip() for line in text.splitlines()]
    urls = [line for line in lines if line and not line.startswith(("#", "@"))]
    records = tuple(conda_record(*_url_and_digest(url), path) for url in urls)
    subdirs = {record.subdir for record in records} - {"noarch"}
    said = re.search(r"^# platform: (\S+)", text, re.MULTILINE)
    _check_platform(subdirs or {said[1] if said else platform}, platform, path)
    return Lock(platform, records, path=path)


def _url_and_digest(line: str) -> tuple[str, str]:
    url, _, digest = line.partition("#")
    return url, digest


def conda_record(url: str, digest: str, path: Path) -> Record:
    """The record of a conda package that is known by its address. Raises `BadLock`."""
    parts = PurePosixPath(unquote(urlparse(url).path)).parts
    match = _CONDA_FILE.fullmatch(parts[-1]) if len(parts) >= 2 else None
    if match is None:
        raise BadLock(f"{path}: {without_secrets(url)} is not the address of a conda package")
    subdir, name = parts[-2:]
    return Record(
        name=match["name"],
        version=match["version"],
        build=match["build"],
        subdir=subdir,
        file_name=name,
        digest=_digest(digest, url, path),
        url=written_url(url, subdir, name),
        source=url,
    )


def _digest(digest: str, url: str, path: Path) -> str:
    match = _DIGEST.fullmatch(digest)
    if match is None:
        found = f"{digest!r} is no digest" if digest else "has no digest"
        raise BadLock(f"{path}: {without_secrets(url)} {found}: make the lock again, with sha256 (or md5)")
    return match["digest"]


def _read_pylock(text: str, path: Path, platform: str) -> Lock:
    import tomli

    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise BadLock(f"{path} is not TOML: {error}") from error
    if not str(document.get("lock-version", "")).startswith("1."):
        raise BadLock(f"{path} has lock-version {document.get('lock-version')!r}: 1.x is known here")
    import platform as machine

    knit = (document.get("tool") or {}).get("knit") or {}
    _check_platform([knit.get("platform", platform)], platform, path)
    if not runs_here(platform):
        raise PlatformMismatch(f"{path} has pip packages, which are installed by a Python for {platform}: not here")
    version = knit.get("python") or machine.python_version()
    records = tuple(pylock.records(document, pylock.Target(version, platform), path.parent))
    for record in records:
        if "+" not in record.source.partition("://")[0]:
            _digest(record.digest, record.source, path)
    variables = tuple(sorted((knit.get("variables") or {}).items()))
    return Lock(platform, records, knit.get("request", ""), (version, knit.get("python-digest", "")), variables, path)


def pixi_lock(found: Sequence[Mapping[str, Any]], platform: str, path: Path) -> Lock:
    """A lock from what py-rattler read in a pixi.lock: kind, address and digest of each package."""
    records = []
    for each in found:
        # pixi writes places on this machine as they are seen from the lock
        url = each["url"] if "://" in each["url"] else (path.parent / each["url"]).resolve().as_uri()
        if each["kind"] == "conda":
            records.append(conda_record(url, each["digest"], path))
        else:
            entry = {"url": url, "hashes": {"sha256": _digest(each["digest"], url, path)}}
            records.append(pylock.entry_record(each["name"], each["version"], entry, path.parent, platform))
    return Lock(platform, tuple(records), path=path)


def _check_platform(has: Iterable[str], platform: str, path: Path) -> None:
    has = sorted(set(has))
    if platform not in has:
        some = f"platform={next((each for each in has if each in PLATFORMS), 'linux-64')!r}"
        raise PlatformMismatch(
            f"{path} is for {', '.join(has)}, and the environment for {platform}: make a lock for that platform, or "
            f"ask for {some}"
        )
