"""What every kind of lock file is read to, and what its readers share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from knit_core.environments.errors import BadLock, PlatformMismatch
from knit_core.environments.platforms import PLATFORMS
from knit_core.environments.redaction import without_secrets
from knit_core.environments.solution import Record, Solution, written_url

if TYPE_CHECKING:
    from knit_core.environments.cache import Cache
    from knit_core.environments.progress import ProgressCallback
    from knit_core.environments.solve.session import Session

#: First line of a lock that Knit writes.
CREATED = "# Made by `knit env lock`; change what it was made from, not this file.\n"

_CONDA_FILE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.(conda|tar\.bz2)")
_DIGEST = re.compile(r"(sha256:)?(?P<digest>[0-9a-f]{64}|[0-9a-f]{32})")


@dataclass(frozen=True)
class Lock:
    """The exact packages of an environment.

    Attributes:
        platform: conda's name.
        records: of conda and pip packages, each with its address.
        request_key: key of the request that the lock was made for; empty: not known. With it, a check needs no network.
        python: version and digest of the Python of this machine that the packages are for; None: Python is a package.
        variables: environment variables to set in the environment.
        path: the lock file, for messages.
    """

    platform: str
    records: tuple[Record, ...]
    request_key: str = ""
    python: tuple[str, str] | None = None
    variables: tuple[tuple[str, str], ...] = ()
    path: Path | None = field(default=None, compare=False)

    @property
    def solution(self) -> Solution:
        """The packages as a solver returns them."""
        return Solution.of(self.platform, self.records, self.variables)

    @property
    def key(self) -> str:
        """64 hexadecimal digits; equal for locks with the same packages."""
        return hashlib.sha256(f"lock {self.python}\n".encode() + self.solution.lock()).hexdigest()

    def document(self) -> dict[str, Any]:
        """The lock as JSON's types, for the cache."""
        return {"lock": self.path.name if self.path else "", "platform": self.platform}

    @classmethod
    def of(cls, solution: Solution, request_key: str) -> Lock:
        """The lock of a solution."""
        base = next((record for record in solution.conda if not record.source), None)
        records = tuple(record for record in solution.records if record is not base)
        python = (base.version, base.digest) if base else None
        return cls(solution.platform, records, request_key, python, solution.variables)

    def with_channels(self, channels: Iterable[str]) -> Lock:
        """The lock with the credentials of these channels in the addresses of their packages."""
        secret = {without_secrets(channel): channel for channel in channels if without_secrets(channel) != channel}

        def source(record: Record) -> str:
            for plain, full in secret.items():
                if record.source.startswith(f"{plain}/"):
                    return full + record.source.removeprefix(plain)
            return record.source

        return replace(self, records=tuple(replace(record, source=source(record)) for record in self.records))

    def session(self, cache: Cache, work: Path, progress: ProgressCallback) -> Session:
        """A session that installs exactly these packages."""
        from knit_core.environments.solve.python_session import LockedPythonSession, PipSession
        from knit_core.environments.solve.rattler import RattlerSession
        from knit_core.environments.solve.request import Request

        request = Request((), (), self.platform, "rattler", variables=self.variables)
        base: Session
        if self.python:
            base = LockedPythonSession(*self.python, cache, work, progress)
        else:
            conda = Solution.of(self.platform, self.solution.conda, self.variables)
            base = RattlerSession(request, cache, work, progress, locked=conda)
        pypi = self.solution.pypi
        return PipSession(base, request, cache, work, progress, pypi) if pypi or self.python else base


def conda_record(url: str, digest: str, path: Path) -> Record:
    """The record of a conda package at an address. Raises `BadLock`."""
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
        digest=checked_digest(digest, url, path),
        url=written_url(url, subdir, name),
        source=url,
    )


def checked_digest(digest: str, url: str, path: Path) -> str:
    """The digest without a prefix. Raises `BadLock` if it is neither a sha256 nor an md5."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        found = f"{digest!r} is not a digest" if digest else "has no digest"
        raise BadLock(f"{path}: {without_secrets(url)} {found}: make the lock again, with sha256 (or md5)")
    return match["digest"]


def check_platform(has: Iterable[str], platform: str, path: Path) -> None:
    """Raises `PlatformMismatch` if the lock, for the platforms `has`, is not for `platform`."""
    has = sorted(set(has))
    if platform not in has:
        argument = f"platform={next((each for each in has if each in PLATFORMS), 'linux-64')!r}"
        raise PlatformMismatch(
            f"{path} is for {', '.join(has)}, and the environment for {platform}: make a lock for that platform, or "
            f"give {argument}"
        )
