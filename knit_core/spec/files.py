"""What containers get besides their command: files, archives, the Python environment."""

from __future__ import annotations

import posixpath
import re
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from knit_core.spec.base import ARCHIVES, LONGEST_NAME, Strict, text

# YARN's own script names a file that lies on HDFS in double quotes, where bash expands these.
_NOT_IN_PLACE = re.compile(r"""[$`"\\\n]""")


def path_in(url: str) -> str:
    """The path of a Hadoop URL, as it is: `?`, `#` and `%` mean nothing there."""
    return "/" + url.partition("://")[2].partition("/")[2]


def same_filesystem(url: str, filesystem: str) -> bool:
    """Whether a Hadoop URL lies on `filesystem`. One that names no host does; names of hosts have no case, and the
    NameNode's port is 8020 where none is given."""
    try:
        one, other = urlsplit(url), urlsplit(filesystem)
        if one.scheme.lower() != other.scheme.lower():
            return False
        usual = 8020 if other.scheme.lower() == "hdfs" else None
        return not one.netloc or (one.hostname, one.port or usual) == (other.hostname, other.port or usual)
    except ValueError:  # a port that is no number
        return False


class FileType(str, Enum):
    """How YARN localises a file: as it is, or unpacked into a folder of that name."""

    FILE = "FILE"
    ARCHIVE = "ARCHIVE"


class File(Strict):
    """One file (or archive) that stands in every container's working folder.

    Attributes:
        source: a local path, or a URL that the cluster can read (`hdfs://…`), which is used in place.
        name: its name in the container; the source's own last part by default.
        type: ARCHIVE is unpacked into a folder called `name`; by default what YARN can unpack is.
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
            raise ValueError("a file's source is a path or a URL, not an empty text")
        return text(value, "a file's source")

    @model_validator(mode="after")
    def _named(self) -> File:
        if self.name and (self.name in {".", ".."} or "/" in self.name):
            raise ValueError(f"a file's name in the container is one plain name, not {self.name!r}")
        if not self.link or self.link in {".", ".."}:
            raise ValueError(f"{self.source!r} has no file name: give `name`")
        if re.search(r"[\0\n]", self.link) or len(self.link.encode()) > LONGEST_NAME:
            raise ValueError(
                f"a file's name in the container has one line of at most {LONGEST_NAME} bytes: give `name`"
            )
        if self.remote and _NOT_IN_PLACE.search(posixpath.basename(self.source)):
            raise ValueError(f"{self.source!r} has a name that YARN cannot handle in place: name it otherwise on HDFS")
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
        """`type`, or what the source's ending means."""
        if self.type is not None:
            return self.type
        return FileType.ARCHIVE if self.source.lower().endswith(ARCHIVES) else FileType.FILE


class EnvironmentRef(Strict):
    """A service's environment: where it is, or what is in it, to be built (or found in the cache) at the launch.

    Attributes:
        archive: local path or `hdfs://…` URL of a relocatable archive; or with `kind="path"` a folder on every node.
        kind: "archive" or "path".
        packages: conda package specifications, `python=3.11`; with `channels` and `pip` instead of `archive`.
        channels: names, URLs or folders, the first with the highest priority; conda-forge by default.
        pip: requirements as pip takes them, on top of the packages or alone.
        file: environment.yml, requirements.txt, pyproject.toml, or a lock file.
        prefix: a conda environment of this machine, by its folder or name.
        name: for people.
        sha256: of the archive's bytes, when known (it need not be read again then).
        platform: conda's name of the platform it is for ("linux-64"); empty: not known, or this machine's.
        python: "3.11", when known or wanted.
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
        """Whether it says what is in it, and is built at the launch."""
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
                "an environment is an archive's path, a URL or a result of create_env; or says what is in it by one of "
                f"packages (with pip), file and prefix, not {' and '.join(ways) or 'an empty text'}"
            )
        if self.kind not in {"archive", "path"}:
            raise ValueError(f"an environment's kind is 'archive' or 'path', not {self.kind!r}")
        if self.kind == "path" and self.described:
            raise ValueError("kind 'path' goes with archive: a folder that is on every node already")
        if self.archive and self.kind == "archive" and not self.archive.lower().endswith(ARCHIVES):
            raise ValueError(
                f"{self.archive!r} is not an archive that YARN unpacks ({', '.join(ARCHIVES)}); an installed environment is "
                "packed by create_env, knit env create or {prefix: …}, one that a file describes is built by {file: …}"
            )
        return self
