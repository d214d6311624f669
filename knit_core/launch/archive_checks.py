"""Looks into archives before they are uploaded: what would be written outside of its folder is refused by name.

YARN unpacks on the nodes, as the user, and the archive's names decide where. What is read: of a zip its directory and each
entry's header, of a tar its headers (the contents are passed over by seeking), of a compressed tar all of it, since there is
no other way, up to `MOST_READ` bytes of content; what lies behind that is YARN's to judge. Check sums inside a zip are not
verified. Archives on HDFS are not looked at, nor those that Knit built itself or that lie in the cache already.
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
_DEFLATED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # what Java unpacks


class _Damaged(Exception):
    """It is not what its name says, or cut off."""


_BROKEN: tuple[type[Exception], ...] = (
    _Damaged,
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    OSError,
    zlib.error,
    cast(type[Exception], IsalError),
)


def look(path: str, *, environment: bool = False) -> list[str]:
    """What is wrong with an archive, one sentence each; empty: nothing.

    Args:
        path: a local .zip, .tar, .tar.gz or .tgz; others are not looked at.
        environment: it is a Python environment: in a tar, `bin/python…` may be a link to the nodes' own Python, as
            venv-pack makes it.
    """
    name = path.lower()
    found: list[str] = []
    try:
        if name.endswith(".zip"):
            rows = _zip(path)
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
                found.append(f"{path}: there is more of that kind")
                break
            found.append(f"{path}: {entry!r} {wrong}. Pack it without that.")
    except _BROKEN as error:
        found.append(f"{path} is damaged, or not what its name says: {error}")
    return found


def _zip(path: str) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.flag_bits & 1:
                yield entry.filename, "is encrypted: YARN cannot unpack it"
                continue
            if entry.compress_type not in _DEFLATED:
                yield entry.filename, "is compressed in a way that YARN does not know (deflate is what it knows)"
                continue
            kind = stat.S_IFMT(entry.external_attr >> 16)
            with archive.open(entry) as stream:  # compares the header, by which YARN goes, with the directory
                target = stream.read(4096).decode("utf-8", "replace") if kind == stat.S_IFLNK else ""
            if kind in {stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK}:
                yield entry.filename, "is a device or a pipe"
            yield from _leads_out(entry.filename, target, posixpath.dirname(entry.filename))


def _tar(path: str) -> Iterator[tuple[str, str]]:
    with tarfile.open(path, "r:", tarinfo=_Header) as archive:
        yield from _members(archive, None)


def _packed_tar(path: str) -> Iterator[tuple[str, str]]:
    with igzip.open(path, "rb") as stream:  # seeking forwards, it decompresses
        with tarfile.open(fileobj=stream, mode="r:", tarinfo=_Header) as archive:
            yield from _members(archive, MOST_READ)
        while stream.tell() < MOST_READ and stream.read(1 << 20):
            pass  # to the end, where the check sum is


def _members(archive: tarfile.TarFile, most: int | None) -> Iterator[tuple[str, str]]:
    """tarfile itself notices when the file ends inside of a member."""
    for member in archive:
        archive.members = []  # type: ignore[attr-defined]  # it would keep them all
        if member.ischr() or member.isblk() or member.isfifo():
            yield member.name, "is a device or a pipe"
        base = posixpath.dirname(member.name) if member.issym() else ""
        yield from _leads_out(member.name, member.linkname if member.issym() or member.islnk() else "", base)
        if most is not None and member.offset_data + member.size > most:
            return


def _leads_out(name: str, target: str, base: str) -> Iterator[tuple[str, str]]:
    """An entry, and where it links to, seen from `base`."""
    if name.startswith("/"):
        yield name, "is an absolute path"
    elif ".." in name.split("/"):
        yield name, "leads out of the archive"
    elif target and (target.startswith("/") or _above(posixpath.join(base, target))):
        yield name, f"is a link to {target!r}, outside of the archive"


def _above(path: str) -> bool:
    return posixpath.normpath(path).split("/")[0] == ".."


class _Header(tarfile.TarInfo):
    """A header that cannot be read is an error: tarfile would take it for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile: Any) -> Any:
        try:
            return super().fromtarfile(tarfile)
        except (_invalid, _truncated) as error:
            raise _Damaged(str(error)) from None


_invalid: type[Exception] = tarfile.InvalidHeaderError  # type: ignore[attr-defined]
_truncated: type[Exception] = tarfile.TruncatedHeaderError  # type: ignore[attr-defined]


__all__ = ["MOST_READ", "look"]
