"""The packages of an environment: their records, and the lock made of them, which identifies the environment. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from knit_core.environments.redaction import without_secrets
from knit_core.model.environment import PackageVersion

#: Part of every environment's and member's key: raise it when the archive of the same packages changes.
ARCHIVE_FORMAT = 2

Kind = Literal["conda", "pypi"]


@dataclass(frozen=True)
class Record:
    """One package, as its channel or index describes it.

    Attributes:
        digest: sha256 of the package file; md5 for old channels that have no sha256; empty: not known.
        url: the address without credentials and without the folder of a local channel.
        size: bytes to download; 0: not known.
        source: the address to download from, with credentials: never written to disk.
    """

    name: str
    version: str
    build: str
    subdir: str
    file_name: str
    digest: str
    url: str
    kind: Kind = "conda"
    size: int = field(default=0, compare=False)
    source: str = field(default="", compare=False, repr=False)
    depends: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Record:
        """From a repodata or conda-meta record."""
        build = record.get("build") or record.get("build_string") or ""
        file_name = record.get("fn") or f"{record['name']}-{record['version']}-{build}"
        subdir = record.get("subdir", "")
        source = record.get("url") or ""
        return cls(
            name=record["name"],
            version=record["version"],
            build=build,
            subdir=subdir,
            file_name=file_name,
            digest=record.get("sha256") or record.get("md5") or "",
            url=written_url(source, subdir, file_name),
            size=record.get("size") or 0,
            source=source,
            depends=tuple(record.get("depends") or ()),
        )

    @property
    def id(self) -> str:
        """Unique in its solution: conda and PyPI may both have a package of the same name."""
        return self.name if self.kind == "conda" else f"pypi:{self.name}"

    def to_json(self) -> dict[str, str]:
        """The package in the lock."""
        document = {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "subdir": self.subdir,
            "file": self.file_name,
            "digest": self.digest,
            "url": self.url,
        }
        return document if self.kind == "conda" else {**document, "kind": self.kind}


@dataclass(frozen=True)
class Solution:
    """The packages of an environment, conda packages first, sorted by name; and its environment variables."""

    platform: str
    records: tuple[Record, ...]
    variables: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_json(cls, platform: str, records: Iterable[Mapping[str, Any]]) -> Solution:
        """From the records of a solver or a prefix."""
        return cls.of(platform, map(Record.from_json, records))

    @classmethod
    def of(cls, platform: str, records: Iterable[Record], variables: tuple[tuple[str, str], ...] = ()) -> Solution:
        """From records in any order."""
        return cls(platform, tuple(sorted(records, key=lambda record: (record.kind, record.name))), variables)

    @property
    def conda(self) -> tuple[Record, ...]:
        """Packages from channels, and the copy of a Python of this machine."""
        return tuple(record for record in self.records if record.kind == "conda")

    @property
    def pypi(self) -> tuple[Record, ...]:
        """Packages from an index."""
        return tuple(record for record in self.records if record.kind == "pypi")

    @property
    def python(self) -> Record | None:
        """The environment's Python, if it has one."""
        return next((record for record in self.conda if record.name == "python"), None)

    @property
    def packages(self) -> tuple[PackageVersion, ...]:
        """Names, versions and builds."""
        return self.packages_with({})

    def packages_with(self, sizes: Mapping[str, int]) -> tuple[PackageVersion, ...]:
        """Names, versions and builds. `sizes`: bytes of the archive by `Record.id`."""
        return tuple(
            PackageVersion(
                each.name, each.version, each.build if each.kind == "conda" else "pypi", sizes.get(each.id, 0)
            )
            for each in self.records
        )

    def lock(self) -> bytes:
        """The lock as JSON: equal packages give equal bytes, on every machine."""
        document: dict[str, Any] = {
            "platform": self.platform,
            "packages": [record.to_json() for record in self.records],
        }
        if self.variables:
            document["variables"] = dict(self.variables)
        return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"

    def key(self, packing: str) -> str:
        """The environment's key. `packing` names everything besides the packages that changes the archive's bytes."""
        return hashlib.sha256(f"{ARCHIVE_FORMAT}\n{packing}\n".encode() + self.lock()).hexdigest()


def written_url(source: str, subdir: str, file_name: str) -> str:
    """A package's URL without credentials and without folders of this machine, to write to a lock."""
    url = without_secrets(source)
    return url if "://" in url and not url.startswith("file:") else f"file:///{subdir}/{file_name}"
