"""The `Environment`: the location and the contents of a Python environment for containers.

Plain data that converts to and from JSON (an XCom, a file). Every kind of environment has this type: built from channels, a
packed prefix, an existing archive, a folder on every node.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from knit_core.errors import BadArchive, BadEnvironmentName
from knit_core.model.representation import html_facts, shown
from knit_core.model.units import show_bytes

#: Suffixes of archives that YARN unpacks. It silently leaves any other file as it is.
ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")

#: File in the archive with the nodes' requirements: `<machine> <glibc>`, written by the packer.
NEEDS = "conda-meta/knit.needs"
#: conda's platform -> the output of `uname -m` there.
MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64", "linux-ppc64le": "ppc64le", "linux-s390x": "s390x"}

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")
_NAME_LENGTH = 128


@shown
@dataclass(frozen=True)
class PackageVersion:
    """One installed package."""

    name: str
    version: str
    build: str = ""  # "pypi" when it is not a conda package
    size: int = 0  # its share of the archive in bytes; 0 when not known


@shown
@dataclass(frozen=True)
class Environment:
    """A Python environment that containers can use.

    Attributes:
        name: a label; two names may mean the same environment.
        archive: the local archive (`Path`) or its `hdfs://…` URL (`str`); with `kind` "path" the folder on every node.
        key: 64 hexadecimal digits that identify the contents: environments with equal keys are equal.
        kind: "archive" (unpacked on the nodes) or "path" (a folder that exists on every node).
        sha256: of the archive's bytes; empty when not known.
        size: of the archive in bytes; 0 when not known.
        platform: conda's name of the platform ("linux-64"); empty when not known.
        python: version of its Python ("3.11.7"); empty when not known, or without Python.
        packages: installed packages, sorted by name; empty when not known.
        created: time of its creation, UTC, ISO 8601; empty when not known.
    """

    name: str
    archive: Path | str
    key: str
    kind: Literal["archive", "path"] = "archive"
    sha256: str = ""
    size: int = 0
    platform: str = ""
    python: str = ""
    packages: tuple[PackageVersion, ...] = ()
    created: str = ""

    def _repr_html_(self) -> str:
        facts = {
            "archive": str(self.archive),
            "python": self.python,
            "platform": self.platform,
            "created": self.created,
        }
        size = show_bytes(self.size) if self.size else ""
        return html_facts(
            f"Environment {self.name}", {**facts, "size": size, "packages": len(self.packages) or "", "key": self.key}
        )

    @classmethod
    def from_archive(
        cls, archive: str | os.PathLike[str], *, name: str = "", platform: str = "", python: str = ""
    ) -> Environment:
        """An existing archive: a local file, or a URL like `hdfs:///envs/science.tar.gz`.

        A local file is read once for its digest. The archive must contain `bin/python` at its top level,
        or in its only folder. Raises `BadArchive` when YARN would not unpack it or the file does not exist, `BadEnvironmentName`.
        """
        text = os.fspath(archive)
        if not text.lower().endswith(ARCHIVE_SUFFIXES):
            raise BadArchive(f"{text} is not an archive that YARN unpacks: give one of {', '.join(ARCHIVE_SUFFIXES)}")
        name = checked_name(name) if name else _stem(text)
        if "://" in text and not text.startswith("file:"):
            return cls(name, text, _digest(text), platform=platform, python=python)
        path = Path(text.removeprefix("file://")).expanduser().absolute()
        if not path.is_file():
            raise BadArchive(f"{path} does not exist, or is not a file")
        stat = path.stat()
        created = utc(stat.st_mtime)
        sha256 = file_sha256(path)
        return cls(
            name, path, sha256, sha256=sha256, size=stat.st_size, platform=platform, python=python, created=created
        )

    @classmethod
    def from_path(cls, path: str, *, name: str = "", platform: str = "", python: str = "") -> Environment:
        """A folder that exists on every node, like `/opt/conda`; nothing is uploaded.

        Raises `BadArchive` when it is not an absolute path.
        """
        if not path.startswith("/"):
            raise BadArchive(f"{path!r} is not an absolute path: it must be the same folder on every node")
        name = checked_name(name) if name else _stem(path)
        return cls(name, path.rstrip("/") or "/", _digest(path), kind="path", platform=platform, python=python)

    def renamed(self, name: str) -> Environment:
        """The same environment under another label."""
        return self if name == self.name else replace(self, name=name)

    def as_ref(self) -> dict[str, str]:
        """The fields for a service's specification (see `knit_core.spec.EnvironmentRef`)."""
        return {
            "archive": str(self.archive),
            "kind": self.kind,
            "name": self.name,
            "sha256": self.sha256,
            "platform": self.platform,
            "python": self.python,
        }

    def to_dict(self) -> dict[str, Any]:
        """As a mapping of JSON's types."""
        return {**asdict(self), "archive": str(self.archive), "packages": [asdict(p) for p in self.packages]}

    def to_json(self, *, indent: int | None = None) -> str:
        """As JSON; `from_json` returns an equal environment."""
        return json.dumps(self.to_dict(), indent=indent)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Environment:
        """From the result of `to_dict`. Unknown keys are ignored, so that the output of a newer version can be read."""
        known = {key: document[key] for key in cls.__dataclass_fields__ if key in document}
        archive = known["archive"]
        known["archive"] = archive if "://" in archive or known.get("kind") == "path" else Path(archive)
        known["packages"] = tuple(
            PackageVersion(p["name"], p["version"], p.get("build", ""), p.get("size", 0))
            for p in known.get("packages", ())
        )
        return cls(**known)

    @classmethod
    def from_json(cls, text: str) -> Environment:
        """From the result of `to_json`."""
        return cls.from_dict(json.loads(text))


def checked_name(name: str) -> str:
    """The name, if it is valid: at most 128 letters, digits and `. _ + -`, beginning with a letter or digit."""
    valid = 0 < len(name) <= _NAME_LENGTH and set(name) <= _NAME_CHARACTERS and name[0].isalnum()
    if not valid:
        raise BadEnvironmentName(
            f"{name!r} cannot name an environment: use letters, digits and . _ + - "
            f"(a letter or digit first, at most {_NAME_LENGTH} characters)"
        )
    return name


def file_sha256(path: Path) -> str:
    """Digest of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def utc(timestamp: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(timestamp, timezone.utc).isoformat(timespec="seconds")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _stem(text: str) -> str:
    """A label from a path: its last part without the suffix, with invalid characters replaced."""
    last = PurePosixPath(text.rstrip("/")).name
    for suffix in ARCHIVE_SUFFIXES:
        if last.lower().endswith(suffix):
            last = last[: -len(suffix)]
            break
    label = "".join(c if c in _NAME_CHARACTERS else "-" for c in last).lstrip("._+-")[:_NAME_LENGTH]
    return label or "environment"
