"""Checks archives before they are uploaded: refuses entries that would be written outside of the archive's folder.

YARN unpacks archives on the nodes, as the user; the names in the archive decide where files are written. The check reads

- of a zip: its directory and each entry's header;
- of a tar: its headers (it seeks past the contents);
- of a compressed tar: everything up to `MOST_READ` bytes of content. Entries after that are not checked.

Check sums inside a zip are not verified. Archives on HDFS, archives that Knit built and archives that are in the cache
already are not checked.
"""

from __future__ import annotations

import posixpath
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, cast

from isal import igzip
from isal.igzip_lib import IsalError

MOST_READ = 4 << 30
_MOST_NAMED = 5
_PYTHON = re.compile(r"(\./)?bin/python[0-9.]*")
_ABSOLUTE_LINK = "is a link to '/"
_DEFLATED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # the methods that Java unpacks


class _Damaged(Exception):
    """The archive is truncated, or has another format than its suffix."""


_BROKEN: tuple[type[Exception], ...] = (
    _Damaged,
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    OSError,
    zlib.error,
    cast(type[Exception], IsalError),
)


def archive_problems(path: str, *, environment: bool = False) -> list[str]:
    """The problems of an archive, one sentence each; empty when there are none.

    Args:
        path: a local .zip, .tar, .tar.gz or .tgz; other files are not checked.
        environment: the archive is a Python environment: in a tar, `bin/python…` may be a link to the nodes' own Python,
            as venv-pack makes it; a zip may have no links, as YARN unpacks each as a text file.
    """
    name = path.lower()
    found: list[str] = []
    try:
        if name.endswith(".zip"):
            rows = _zip(path, environment)
        elif name.endswith((".tar.gz", ".tgz")):
            rows = _packed_tar(path)
        elif name.endswith(".tar"):
            rows = _tar(path)
        else:
            return []
        for entry, wrong in rows:
            if (
                environment
                and wrong.startswith(_ABSOLUTE_LINK)
                and _PYTHON.fullmatch(entry)
                and not name.endswith(".zip")
            ):
                continue
            if len(found) == _MOST_NAMED:
                found.append(f"{path}: more entries have such problems")
                break
            found.append(f"{path}: {entry!r} {wrong}. Pack the archive without it.")
    except _BROKEN as error:
        found.append(f"{path} is damaged, or has another format than its suffix: {error}")
    return found


def _zip(path: str, environment: bool) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.flag_bits & 1:
                yield entry.filename, "is encrypted: YARN cannot unpack it"
                continue
            if entry.compress_type not in _DEFLATED:
                yield entry.filename, "is compressed by a method that YARN cannot unpack: use deflate"
                continue
            kind = stat.S_IFMT(entry.external_attr >> 16)
            with archive.open(entry) as stream:  # checks the header, which YARN uses, against the directory
                target = stream.read(4096).decode("utf-8", "replace") if kind == stat.S_IFLNK else ""
            if kind in {stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK}:
                yield entry.filename, "is a device or a pipe"
            problems = list(_leads_out(entry.filename, target, posixpath.dirname(entry.filename)))
            yield from problems
            if environment and target and not problems:
                yield entry.filename, f"is a link to {target!r}, which YARN would unpack as a text file: use a .tar.gz"


def _tar(path: str) -> Iterator[tuple[str, str]]:
    with tarfile.open(path, "r:", tarinfo=_Header) as archive:
        yield from _members(archive, None)


def _packed_tar(path: str) -> Iterator[tuple[str, str]]:
    with igzip.open(path, "rb") as stream:  # a forward seek decompresses
        with tarfile.open(fileobj=stream, mode="r:", tarinfo=_Header) as archive:
            yield from _members(archive, MOST_READ)
        while stream.tell() < MOST_READ and stream.read(1 << 20):
            pass  # the check sum is at the end


def _members(archive: tarfile.TarFile, most: int | None) -> Iterator[tuple[str, str]]:
    """Problems of the members up to `most` bytes; tarfile raises an error when the file ends inside of a member."""
    for member in archive:
        archive.members = []  # type: ignore[attr-defined]  # else tarfile keeps every member in memory
        if member.ischr() or member.isblk() or member.isfifo():
            yield member.name, "is a device or a pipe"
        base = posixpath.dirname(member.name) if member.issym() else ""
        yield from _leads_out(member.name, member.linkname if member.issym() or member.islnk() else "", base)
        if most is not None and member.offset_data + member.size > most:
            return


def _leads_out(name: str, target: str, base: str) -> Iterator[tuple[str, str]]:
    """Problems of an entry's name and of its link target.

    Args:
        name: of the entry.
        target: of the link; empty for other entries.
        base: the folder that the target is relative to.
    """
    if name.startswith("/"):
        yield name, "is an absolute path"
    elif ".." in name.split("/"):
        yield name, "is outside of the archive"
    elif target and (target.startswith("/") or _is_above(posixpath.join(base, target))):
        yield name, f"is a link to {target!r}, outside of the archive"


def _is_above(path: str) -> bool:
    return posixpath.normpath(path).split("/")[0] == ".."


class _Header(tarfile.TarInfo):
    """A header; an unreadable one is an error. tarfile would take it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: Any) -> Any:
        try:
            return super().fromtarfile(tarfile)
        except (_invalid, _truncated) as error:
            raise _Damaged(str(error)) from None


_invalid: type[Exception] = tarfile.InvalidHeaderError  # type: ignore[attr-defined]
_truncated: type[Exception] = tarfile.TruncatedHeaderError  # type: ignore[attr-defined]


__all__ = ["MOST_READ", "archive_problems"]
