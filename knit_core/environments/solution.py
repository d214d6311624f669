"""What was found to answer a request: package records, and the lock made of them that identifies the environment. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from knit_core.environments.request import without_secrets
from knit_core.model.environment import PackageVersion

#: Part of every environment's and member's key: raise it when the same packages have to give another archive.
ARCHIVE_FORMAT = 2

Kind = Literal["conda", "pypi"]


@dataclass(frozen=True)
class Record:
    """One package of a solution, as its channel or index describes it."""

    name: str
    version: str
    build: str
    subdir: str
    file_name: str
    digest: str  # sha256 of the package; old channels have md5 only; empty: not known
    url: str  # where it is from, without credentials; a local channel's folder is left out
    kind: Kind = "conda"
    size: int = field(default=0, compare=False)  # bytes to download; 0: not known
    source: str = field(default="", compare=False, repr=False)  # where to get it, with credentials: never written down
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
        """Names it among the packages of its solution: conda and PyPI may both have one of a name."""
        return self.name if self.kind == "conda" else f"pypi:{self.name}"

    def to_json(self) -> dict[str, str]:
        """As it stands in the lock."""
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
    """The packages of an environment, conda's first, sorted by name; and variables that belong to it."""

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
        """The packages that conda's tools know: from channels, and a Python that was shipped as it was here."""
        return tuple(record for record in self.records if record.kind == "conda")

    @property
    def pypi(self) -> tuple[Record, ...]:
        """The packages that were put on top of those."""
        return tuple(record for record in self.records if record.kind == "pypi")

    @property
    def python(self) -> Record | None:
        """The Python of the environment, if it has one."""
        return next((record for record in self.conda if record.name == "python"), None)

    @property
    def packages(self) -> tuple[PackageVersion, ...]:
        """Names, versions and builds."""
        return self.packages_with({})

    def packages_with(self, sizes: Mapping[str, int]) -> tuple[PackageVersion, ...]:
        """Names, versions and builds, with how many bytes of the archive each has (by `Record.id`)."""
        return tuple(
            PackageVersion(
                each.name, each.version, each.build if each.kind == "conda" else "pypi", sizes.get(each.id, 0)
            )
            for each in self.records
        )

    def lock(self) -> bytes:
        """The lock: the same bytes for the same packages, wherever and whenever they were solved for."""
        document: dict[str, Any] = {
            "platform": self.platform,
            "packages": [record.to_json() for record in self.records],
        }
        if self.variables:
            document["variables"] = dict(self.variables)
        return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"

    def key(self, packing: str) -> str:
        """The environment's key; `packing` names all that changes the archive's bytes besides the packages."""
        return hashlib.sha256(f"{ARCHIVE_FORMAT}\n{packing}\n".encode() + self.lock()).hexdigest()


def written_url(source: str, subdir: str, file_name: str) -> str:
    """A package's URL as it may be written down: without credentials, and without this machine's folders."""
    url = without_secrets(source)
    return url if "://" in url and not url.startswith("file:") else f"file:///{subdir}/{file_name}"
