"""Packing an environment that somebody installed: a conda prefix, whatever pip or a person did to it since.

conda-pack knows what belongs to a prefix: it finds its files, leaves out what must not travel, and refuses editable
packages. It would then take managed files from conda's package cache, where they are as the package brought them, not
as they are in the prefix, and its archives differ from run to run. So only its list is used, and every file is read
from the prefix itself by our own writer: what runs there is what runs in the containers.

The files are packed in parts, one for each large package and a few for the small ones. A part is kept under what its
files' sizes and times are, so that a change in one package packs only its part again.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knit_core.environments.errors import BadArchive, PrefixChanged, SolverMissing
from knit_core.environments.pack.bytecode import compile_bytecode
from knit_core.environments.pack.compression import gzip_member
from knit_core.environments.pack.file_filter import keeps_everything, needed
from knit_core.environments.pack.glibc import Version, newest
from knit_core.environments.pack.packing import (
    LOCK_NAME,
    Installed,
    Member,
    OnPacked,
    Packed,
    concatenate,
    finish,
    in_parallel,
    packing,
    portable_metadata,
    stays_inside,
    without_secrets,
)
from knit_core.environments.pack.tarball import TarWriter, link_target
from knit_core.environments.pack.wheels import added_by_pip
from knit_core.environments.request import FORMAT
from knit_core.environments.solution import Record, Solution
from knit_core.model.units import counted

_LARGE = 1 << 20  # bytes of a package that gets a part of its own
_SMALL_PARTS = 16  # parts that the others share
_FOLDER = (0, 0, 0, 0)  # the state of an empty folder
_SHOWN = 5  # files that a message names

#: Relative path -> what changes when the file does.
States = dict[str, tuple[int, ...]]


def check_prefix(prefix: Path) -> None:
    """Raises `BadArchive` unless the folder is a conda environment with a Python."""
    if not (prefix / "conda-meta").is_dir():
        raise BadArchive(f"{prefix} is not a conda environment: there is no conda-meta folder in it")
    if not (prefix / "bin" / "python").exists():
        raise BadArchive(f"{prefix} has no bin/python")


def fingerprint(prefix: Path, *, complete: bool = False) -> str:
    """Changes when any file of the prefix does, by its size and times: while it stays, nothing is packed again."""
    return _digest(prefix, states(prefix), complete)


def states(prefix: Path) -> States:
    """The state of each file of the prefix, bytecode apart."""
    root = f"{prefix}/"
    return {
        path.removeprefix(root): (found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        for path, found in _walk(str(prefix))
    }


def read_solution(prefix: Path) -> Solution:
    """The conda packages of the prefix."""
    records = [json.loads(path.read_bytes()) for path in sorted((prefix / "conda-meta").glob("*.json"))]
    records = [record for record in records if "name" in record]
    subdirs = {record.get("subdir", "") for record in records} - {"noarch", ""}
    return Solution.from_json(min(subdirs, default=""), records)


def whole_solution(prefix: Path) -> Solution:
    """All packages of the prefix: conda's, and those that pip added."""
    found = read_solution(prefix)
    return Solution.of(found.platform, [*found.records, *added_by_pip(prefix)])


@dataclass
class PrefixPacker:
    """Packs one prefix as it is now; equal contents give equal bytes wherever the prefix is.

    Attributes:
        prefix: it is only read.
        members: where parts are kept for the next time.
        scratch: an empty folder on the same disk.
        complete: whether headers, type stubs, tests and manuals travel, too.
    """

    prefix: Path
    members: Path
    scratch: Path
    complete: bool = False
    _glibc: dict[str, Version] = field(default_factory=dict)

    def write(self, archive: Path, on_packed: OnPacked) -> Packed:
        """Writes the archive.

        Raises:
            BadArchive: editable packages, no conda environment, files that cannot be read, links to folders outside.
            PrefixChanged: files changed while it was packed.
        """
        self.members.mkdir(parents=True, exist_ok=True)
        before = states(self.prefix)
        try:
            solution = whole_solution(self.prefix)
            self.complete = self.complete or keeps_everything(record.name for record in solution.records)
            parts = _parts(self._files(on_packed, before), before)
            tasks = {name: lambda n=name, p=part: self._pack(n, p, before) for name, part in parts.items()}
            packed = concatenate([*in_parallel(tasks, on_packed), self._metadata(solution, on_packed)], archive)
        except (FileNotFoundError, OSError) as error:
            if states(self.prefix) != before:
                raise self._changed(before) from error
            raise
        if states(self.prefix) != before:
            raise self._changed(before)
        return packed

    def _changed(self, before: States) -> PrefixChanged:
        now = states(self.prefix)
        names = sorted(path for path in {*before, *now} if before.get(path) != now.get(path))
        return PrefixChanged(
            f"{self.prefix} changed while it was packed ({_some(names)}): nothing was kept. "
            "Pack it again when whatever installs there is done."
        )

    def _files(self, on_packed: OnPacked, before: States) -> list[str]:
        prefix = self.prefix
        found = [path for path in _listed(prefix, before) if not path.startswith("conda-meta/")]
        managed = _managed(prefix)
        secret = set(found) - managed
        secret -= set(without_secrets(sorted(secret), prefix, on_packed))
        chosen = [path for path in found if path not in secret]
        links = [path for path in chosen if stat.S_ISLNK(before.get(path, _FOLDER)[0])]
        unreadable = [path for path in set(chosen) - set(links) if not os.access(f"{prefix}/{path}", os.R_OK)]
        if unreadable:
            raise BadArchive(
                f"{prefix} has {counted(len(unreadable), 'file')} that cannot be read: {', '.join(sorted(unreadable))}. "
                "Make them readable (chmod u+r), or delete them."
            )
        out = [path for path in links if not stays_inside(prefix, path, str(prefix))]
        if out:
            raise BadArchive(
                f"{prefix} has links that lead out of it, to a folder or to nothing: "
                f"{', '.join(f'{path} -> {(prefix / path).readlink()}' for path in out)}. "
                "Nodes do not have what is there: copy it in, or delete the links."
            )
        return chosen

    def _pack(self, name: str, files: list[str], before: States) -> Path:
        mine = {path: before.get(path, _FOLDER) for path in files}
        kept = Member(self.members, _digest(self.prefix, mine, self.complete))
        # what a link to a file outside leads to has a state that is not looked at
        links = [path for path in files if stat.S_ISLNK(mine[path][0])]
        reusable = all(link_target(path, self.prefix) is not None for path in links)
        if reusable and (glibc := kept.glibc()) is not None:
            self._glibc[name] = glibc
            return kept.path
        if not self.complete:
            files = needed(files, self.prefix)
        label = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        part = self.scratch / f"{label}.gz"
        bytecode = compile_bytecode(self.prefix, str(self.prefix), files, self.scratch / f"compiled-{label}")
        with gzip_member(part) as stream:
            writer = TarWriter(stream, str(self.prefix))
            for path in files:
                writer.add(path, self.prefix)
            for path, data in bytecode:
                writer.add_bytes(path, data)
        self._glibc[name] = writer.glibc
        if any(_state(self.prefix / path) != state for path, state in mine.items() if state != _FOLDER):
            raise self._changed(before)  # it must not be kept as what it was before
        return kept.keep(part, writer.glibc) if reusable else part

    def _metadata(self, solution: Solution, on_packed: OnPacked) -> Path:
        """conda's records without the places of this machine, and the end of the archive."""
        part = self.scratch / "metadata.gz"
        with gzip_member(part) as stream:
            writer = TarWriter(stream, str(self.prefix))
            for path in sorted((self.prefix / "conda-meta").glob("*.json")):
                metadata: dict[str, Any] = json.loads(path.read_bytes())
                if "name" in metadata:
                    files = [file for file in metadata.get("files", ()) if not file.endswith(".pyc")]
                    data = portable_metadata(metadata, Record.from_json(metadata), files)
                    writer.add_bytes(f"conda-meta/{path.name}", data)
            installed = Installed(self.prefix, str(self.prefix))
            writer.add_bytes(LOCK_NAME, solution.lock())
            finish(writer, installed, solution.platform, newest(self._glibc.values()), on_packed)
        return part


def _digest(prefix: Path, files: States, complete: bool) -> str:
    digest = hashlib.sha256(f"{FORMAT} {packing(bytecode=True, complete=complete)} ".encode() + os.fsencode(prefix))
    for path, state in sorted(files.items()):
        digest.update(os.fsencode(path) + b"\0%d\0%d\0%d\0%d\n" % state)
    return digest.hexdigest()


def _listed(prefix: Path, before: States) -> list[str]:
    """What conda-pack would pack, bytecode apart."""
    try:
        from conda_pack import CondaEnv, CondaPackException
    except ImportError:
        raise SolverMissing.extra("conda-pack, which lists the files of a conda environment,") from None

    try:
        # A file that pip has replaced is missing to conda; as files are read from the prefix, that does no harm.
        found = CondaEnv.from_prefix(str(prefix), on_missing_cache="ignore", ignore_missing_files=True)
    except CondaPackException as error:
        raise BadArchive(f"{prefix} cannot be packed: {error}") from error
    except (KeyError, ValueError) as error:
        raise BadArchive(f"{prefix} has a file in conda-meta that describes no package ({error!r})") from error
    targets = {file.target for file in found if not file.target.endswith(".pyc")}
    return sorted(path for path in targets if path in before or (prefix / path).is_dir())


def _managed(prefix: Path) -> set[str]:
    """Files that a conda package or pip brought: what looks like a key among them is an example, not this user's."""
    managed: set[str] = set()
    for path in (prefix / "conda-meta").glob("*.json"):
        managed |= set(json.loads(path.read_bytes()).get("files", ()))
    for record in prefix.glob("lib/python*/site-packages/*.dist-info/RECORD"):
        site = record.parent.parent.relative_to(prefix).as_posix()
        names = (line.rpartition(",")[0].rpartition(",")[0].strip('"') for line in record.read_text().splitlines())
        managed |= {posixpath.normpath(posixpath.join(site, name)) for name in names if name}
    return managed


def _parts(files: Iterable[str], before: States) -> dict[str, list[str]]:
    """Files by the part that they belong to; in the same way for equal contents."""
    tops: dict[str, list[str]] = {}
    for path in files:
        folders = path.split("/")
        depth = 4 if folders[2:3] == ["site-packages"] else 3 if folders[0] == "lib" else 1
        tops.setdefault("/".join(folders[: min(depth, len(folders) - 1)]), []).append(path)
    parts: dict[str, list[str]] = {}
    for top, paths in tops.items():
        large = sum(before.get(path, _FOLDER)[1] for path in paths) >= _LARGE
        name = top if large else f"small packages {zlib.crc32(os.fsencode(top)) % _SMALL_PARTS}"
        parts.setdefault(name, []).extend(paths)
    return {name: sorted(parts[name]) for name in sorted(parts)}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _walk(entry.path)
            else:
                yield entry.path, entry.stat(follow_symlinks=False)
