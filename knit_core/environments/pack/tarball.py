"""Writing the files of a prefix to a tar stream: without owners, with a constant time, two modes and no build path.

A symbolic link to a file outside the prefix is replaced by the file. Names may have any length and any bytes.

Files of a conda package may contain the path that they were installed to. On a node their path is another one. Scripts
therefore find their interpreter by PATH (`#!/usr/bin/env python`), and other text contains `EMBEDDED_PREFIX`, a path that
does not exist.
"""

from __future__ import annotations

import io
import mmap
import os
import posixpath
import re
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

from knit_core.environments.pack.glibc import ELF, Version, needed_glibc

#: Replaces the environment's own path in packed files. Below /opt, where ordinary users cannot create files.
EMBEDDED_PREFIX = "/opt/knit-environment"

_TIME = 1577836800  # 2020-01-01: zip programs refuse times before 1980
BINARY_HEAD = 1024  # a file with a NUL in its first bytes is binary
# `%s` is the prefix. The groups: the program that runs a script, and its arguments.
_SHEBANG = rb"#![ \t]*%s/bin/(?P<program>[^\s/]+)[ \t]*(?P<arguments>[^\n]*)"
# Written by pip and uv if the interpreter's path is too long for the kernel, or has a space.
_SHELL_SHEBANG = rb"""#!/bin/sh\n'{3}exec' ["']?%s/bin/(?P<program>[^\s/"']+)["']? "\$0" "\$@"\n' '{3}(?P<arguments>)"""


class TarWriter:
    """Adds files to a tar stream. Only `finish` writes the end of the archive."""

    def __init__(self, stream: IO[bytes], embedded: str = EMBEDDED_PREFIX) -> None:
        """`embedded`: the path of the environment that is written in its files."""
        self._tar = tarfile.TarFile(
            fileobj=stream, mode="w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape"
        )
        self._embedded = embedded
        self.glibc: Version = ()  # the newest that the added binaries need

    def add(self, relative: str, folder: Path) -> None:
        """Adds one file, symbolic link or empty folder of `folder` under its relative path."""
        path = folder / relative
        member = tarfile.TarInfo(relative)
        member.mtime = _TIME
        if path.is_symlink() and (target := link_target(relative, folder, self._embedded)) is not None:
            member.type, member.mode, member.linkname = tarfile.SYMTYPE, 0o777, target
            self._tar.addfile(member)
        elif path.is_dir():
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            self._tar.addfile(member)
        else:
            self._add_file(path, member)

    def add_bytes(self, relative: str, data: bytes) -> None:
        """Adds a file that is not in the prefix."""
        member = tarfile.TarInfo(relative)
        member.mtime, member.mode, member.size = _TIME, 0o644, len(data)
        self._tar.addfile(member, io.BytesIO(data))

    def finish(self) -> None:
        """Writes the end of the archive."""
        self._tar.close()

    def _add_file(self, path: Path, member: tarfile.TarInfo) -> None:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            member.mode = 0o755 if stat.st_mode & 0o100 else 0o644
            if (head := file.read(BINARY_HEAD)).startswith(ELF) and "sysroot" not in member.name:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as binary:
                    self.glibc = max(self.glibc, needed_glibc(binary))
            if b"\0" not in head:
                data = relocated(head + file.read(), self._embedded)
                member.size = len(data)
                self._tar.addfile(member, io.BytesIO(data))
            elif self._embedded != EMBEDDED_PREFIX and self._embedded.encode() in (data := head + file.read()):
                data = replace_in_binary(data, self._embedded)
                member.size = len(data)
                self._tar.addfile(member, io.BytesIO(data))
            else:
                file.seek(0)
                member.size = stat.st_size
                self._tar.addfile(member, file)


def link_target(relative: str, folder: Path, embedded: str = EMBEDDED_PREFIX) -> str | None:
    """The relative target of a link of `folder` in the archive; None if it is outside the environment."""
    target = str((folder / relative).readlink())
    for prefix in (str(folder), embedded):
        if target.startswith(f"{prefix}/"):  # an absolute link into the environment itself
            return os.path.relpath(target.removeprefix(f"{prefix}/"), PurePosixPath(relative).parent)
    if target.startswith("/"):
        return None
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(relative), target))
    return None if inside == ".." or inside.startswith("../") else target


def relocated(text: bytes, embedded: str) -> bytes:
    """A text file's bytes without the path `embedded`: interpreters are found by PATH, else it is `EMBEDDED_PREFIX`."""
    prefix = embedded.encode()
    for pattern in (_SHEBANG, _SHELL_SHEBANG) if text.startswith(b"#!") else ():
        if match := re.match(pattern % re.escape(prefix), text):
            # without -S, env takes the rest of the line as one word
            words = b"-S %b %b" % match.groups() if match["arguments"] else match["program"]
            text = b"#!/usr/bin/env " + words + text[match.end() :]
            break
    return text if embedded == EMBEDDED_PREFIX else text.replace(prefix, EMBEDDED_PREFIX.encode())


def replace_in_binary(data: bytes, embedded: str) -> bytes:
    """A binary file's bytes: in strings that begin with `embedded` it is replaced, and they are padded to their length."""
    old, new = embedded.encode(), EMBEDDED_PREFIX.encode()

    def change(match: re.Match[bytes]) -> bytes:
        text = match[0]
        shorter = text.replace(old, new)
        return shorter.ljust(len(text), b"\0") if len(shorter) <= len(text) else text

    return re.sub(re.escape(old) + rb"[^\0]*", change, data)
