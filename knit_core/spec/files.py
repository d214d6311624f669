"""Files, archives and the Python environment of a container."""

from __future__ import annotations

import posixpath
import re
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from knit_core.spec.base import ARCHIVES, LONGEST_NAME, Strict, text

# YARN's own script has the name of a file on HDFS in double quotes, where bash expands these characters.
_NOT_IN_PLACE = re.compile(r"""[$`"\\\n]""")


def path_in(url: str) -> str:
    """The path of a Hadoop URL. `?`, `#` and `%` have no special meaning in it."""
    return "/" + url.partition("://")[2].partition("/")[2]


def same_filesystem(url: str, filesystem: str) -> bool:
    """Whether a Hadoop URL is on `filesystem`.

    True for a URL without a host. Host names are compared without case; the default port of HDFS is 8020.
    """
    try:
        one, other = urlsplit(url), urlsplit(filesystem)
        if one.scheme.lower() != other.scheme.lower():
            return False
        usual = 8020 if other.scheme.lower() == "hdfs" else None
        return not one.netloc or (one.hostname, one.port or usual) == (other.hostname, other.port or usual)
    except ValueError:  # the port is not a number
        return False


class FileType(str, Enum):
    """How YARN localises a file: unchanged, or unpacked into a folder with its name."""

    FILE = "FILE"
    ARCHIVE = "ARCHIVE"


class File(Strict):
    """One file or archive in the working folder of each container.

    Attributes:
        source: a local path, or a URL that the cluster can read (`hdfs://…`), which is used in place.
        name: its name in the container; by default the last part of the source.
        type: FILE, or ARCHIVE for unpacking into a folder with that name; by default ARCHIVE for suffixes that YARN unpacks.
    """

    source: str
    name: str = ""
    type: FileType | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"source": value}
        if hasattr(value, "__fspath__"):
            return {"source": str(value)}
        return value

    @field_validator("source")
    @classmethod
    def _source(cls, value: str) -> str:
        if not value.strip() or "\0" in value:
            raise ValueError("a file's source must be a path or a URL, not an empty text")
        return text(value, "a file's source")

    @model_validator(mode="after")
    def _named(self) -> File:
        if self.name and (self.name in {".", ".."} or "/" in self.name):
            raise ValueError(f"a file's name in the container must be a name without a path, not {self.name!r}")
        if not self.link or self.link in {".", ".."}:
            raise ValueError(f"{self.source!r} has no file name: set `name`")
        if re.search(r"[\0\n]", self.link) or len(self.link.encode()) > LONGEST_NAME:
            raise ValueError(
                f"a file's name in the container must be one line of at most {LONGEST_NAME} bytes: set `name`"
            )
        if self.remote and _NOT_IN_PLACE.search(posixpath.basename(self.source)):
            raise ValueError(f"{self.source!r} has a name that YARN cannot use in place: rename the file on HDFS")
        if self.type is FileType.ARCHIVE and not self.source.lower().endswith((*ARCHIVES, ".jar")):
            raise ValueError(f"{self.source!r} is not an archive that YARN unpacks ({', '.join(ARCHIVES)}, .jar)")
        return self

    @property
    def remote(self) -> bool:
        """Whether it is on the cluster already."""
        return "://" in self.source and not self.source.startswith("file://")

    @property
    def path(self) -> str:
        """The local path."""
        return self.source.removeprefix("file://")

    @property
    def link(self) -> str:
        """Its name in the container."""
        return self.name or PurePosixPath(self.path.rstrip("/")).name

    @property
    def yarn_type(self) -> FileType:
        """`type`, or by default the type for the source's suffix."""
        if self.type is not None:
            return self.type
        return FileType.ARCHIVE if self.source.lower().endswith(ARCHIVES) else FileType.FILE


class EnvironmentRef(Strict):
    """A service's environment: its location, or its contents, from which the launch builds it (or finds it in the cache).

    Attributes:
        archive: local path or `hdfs://…` URL of a relocatable archive; or with `kind="path"` a folder on every node.
        kind: "archive" or "path".
        packages: conda package specifications, `python=3.11`; with `channels` and `pip` instead of `archive`.
        channels: names, URLs or folders, the first with the highest priority; conda-forge by default.
        pip: requirements for pip, in addition to the packages or alone.
        file: environment.yml, requirements.txt, pyproject.toml, or a lock file.
        prefix: a conda environment of this machine, by its folder or name.
        name: a label.
        sha256: of the archive's bytes, if known; then the archive is not read again.
        platform: conda's name of its platform ("linux-64"); empty when not known, or for this machine's.
        python: "3.11"; its version if known, or the requested one.
    """

    archive: str = ""
    kind: str = "archive"
    packages: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    file: str = ""
    prefix: str = ""
    name: str = ""
    sha256: str = ""
    platform: str = ""
    python: str = ""

    @property
    def described(self) -> bool:
        """Whether it has contents instead of a location, and is built at the launch."""
        return not self.archive

    @model_validator(mode="before")
    @classmethod
    def _coerce(cls, value: Any) -> Any:
        if isinstance(value, str) or hasattr(value, "__fspath__"):
            return {"archive": str(value)}
        if hasattr(value, "as_ref"):  # knit_core.environments.Environment
            return dict(value.as_ref())
        return value

    @model_validator(mode="after")
    def _check(self) -> EnvironmentRef:
        ways = [name for name in ("archive", "file", "prefix") if getattr(self, name).strip()]
        ways += ["packages"] if self.packages or self.pip else []
        if len(ways) != 1:
            raise ValueError(
                "an environment must be an archive's path, a URL or a result of create_env; or have one of packages "
                f"(with pip), file and prefix, not {' and '.join(ways) or 'an empty text'}"
            )
        if self.kind not in {"archive", "path"}:
            raise ValueError(f"an environment's kind must be 'archive' or 'path', not {self.kind!r}")
        if self.kind == "path" and self.described:
            raise ValueError("kind 'path' requires archive: a folder that exists on every node")
        if self.archive and self.kind == "archive" and not self.archive.lower().endswith(ARCHIVES):
            raise ValueError(
                f"{self.archive!r} is not an archive that YARN unpacks ({', '.join(ARCHIVES)}); pack an installed "
                "environment with create_env, knit env create or {prefix: …}; build one from a file with {file: …}"
            )
        return self
