"""Packing a conda prefix that was installed by other tools, as it is now, changes by pip and by hand included.

conda-pack lists the files of a prefix, leaves out those that must not be packed, and refuses editable packages. Only its
list is used, for two reasons: it reads managed files from conda's package cache, without later changes, and its archives
differ from run to run. Here every file is read from the prefix, so that containers run what runs there.

The files are packed in parts, one for each large package and a few for all small ones. The key of a part is made of its
files' sizes and times, so that after a change of one package only its part is packed again.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution
from pathlib import Path

from knit_core.environments.cache import REQUEST_FORMAT
from knit_core.environments.errors import BadArchive, PrefixChanged, SolverMissing
from knit_core.environments.pack.archive import (
    OnPacked,
    Packed,
    Packer,
    Part,
    leave_out_secrets,
    packing,
    stays_inside,
)
from knit_core.environments.pack.conda_meta import portable_record, read_conda_meta
from knit_core.environments.pack.tarball import TarWriter, link_target
from knit_core.environments.pack.wheels import added_by_pip
from knit_core.environments.solution import Record, Solution
from knit_core.model.units import counted

_LARGE = 1 << 20  # least bytes of a package with its own part
_SMALL_PARTS = 16  # parts that the others share
_FOLDER = (0, 0, 0, 0)  # the state of an empty folder
_SHOWN = 5  # files that a message names

#: Relative path -> mode, size and times of the file.
States = dict[str, tuple[int, ...]]


def check_prefix(prefix: Path) -> None:
    """Raises `BadArchive` unless the folder is a conda environment with a Python."""
    if not (prefix / "conda-meta").is_dir():
        raise BadArchive(f"{prefix} is not a conda environment: there is no conda-meta folder in it")
    if not (prefix / "bin" / "python").exists():
        raise BadArchive(f"{prefix} has no bin/python")


def fingerprint(prefix: Path, *, complete: bool = False) -> str:
    """A digest of the sizes and times of all files: while it is the same, nothing is packed again."""
    return _digest(prefix, states(prefix), complete)


def states(prefix: Path) -> States:
    """The state of each file of the prefix, without bytecode."""
    root = f"{prefix}/"
    return {
        path.removeprefix(root): (found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        for path, found in _walk(str(prefix))
    }


def read_solution(prefix: Path) -> Solution:
    """The conda packages of the prefix."""
    records = [record for record in read_conda_meta(prefix).values() if "name" in record]
    subdirs = {record.get("subdir", "") for record in records} - {"noarch", ""}
    return Solution.from_json(min(subdirs, default=""), records)


def whole_solution(prefix: Path) -> Solution:
    """All packages of the prefix: installed by conda and by pip."""
    found = read_solution(prefix)
    return Solution.of(found.platform, [*found.records, *added_by_pip(prefix)])


class PrefixPacker(Packer):
    """Packs one prefix as it is now. Equal contents give equal bytes, wherever the prefix is."""

    def __init__(self, prefix: Path, *, members: Path, scratch: Path, complete: bool = False) -> None:
        """Reads what is installed. For the arguments see `Packer`."""
        self._prefix = prefix
        self._before = states(prefix)
        with self._detecting_changes():
            solution = whole_solution(prefix)
        super().__init__(
            prefix, str(prefix), solution, members=members, scratch=scratch, bytecode=True, complete=complete
        )

    def write(self, archive: Path, on_packed: OnPacked) -> Packed:
        """Writes the archive.

        Raises:
            BadArchive: editable packages, no conda environment, unreadable files, links to folders outside.
            PrefixChanged: files changed while it was packed.
        """
        with self._detecting_changes():
            packed = super().write(archive, on_packed)
        if states(self._prefix) != self._before:
            raise self._changed()
        return packed

    @contextmanager
    def _detecting_changes(self) -> Iterator[None]:
        """An `OSError` is a `PrefixChanged` if a file has changed."""
        try:
            yield
        except OSError as error:
            if states(self._prefix) != self._before:
                raise self._changed() from error
            raise

    def _changed(self) -> PrefixChanged:
        before, now = self._before, states(self._prefix)
        names = sorted(path for path in {*before, *now} if before.get(path) != now.get(path))
        return PrefixChanged(
            f"{self._prefix} changed while it was packed ({_some(names)}): nothing was kept. "
            "Pack it again when the installation there is finished."
        )

    def _parts(self, on_packed: OnPacked) -> list[Part]:
        return [
            Part(name, files, self._key(files))
            for name, files in _grouped(self._files(on_packed), self._before).items()
        ]

    def _key(self, files: Iterable[str]) -> str:
        """Of a part; empty if it has a link to a file outside, whose state is not recorded."""
        found = {path: self._before.get(path, _FOLDER) for path in files}
        links = [path for path, state in found.items() if stat.S_ISLNK(state[0])]
        inside = all(link_target(path, self._prefix) is not None for path in links)
        return _digest(self._prefix, found, self._complete) if inside else ""

    def _check_packed(self, part: Part) -> None:
        for path in part.files:
            state = self._before.get(path, _FOLDER)
            if state != _FOLDER and _state(self._prefix / path) != state:
                raise self._changed()

    def _files(self, on_packed: OnPacked) -> list[str]:
        """The files to pack: checked, without secrets."""
        prefix = self._prefix
        found = [path for path in _listed(prefix, self._before) if not path.startswith("conda-meta/")]
        unmanaged = set(found) - _managed(prefix)
        secret = unmanaged - set(leave_out_secrets(sorted(unmanaged), prefix, on_packed))
        chosen = [path for path in found if path not in secret]
        links = [path for path in chosen if stat.S_ISLNK(self._before.get(path, _FOLDER)[0])]
        unreadable = [path for path in set(chosen) - set(links) if not os.access(f"{prefix}/{path}", os.R_OK)]
        if unreadable:
            raise BadArchive(
                f"{prefix} has {counted(len(unreadable), 'file')} that cannot be read: {', '.join(sorted(unreadable))}. "
                "Make them readable (chmod u+r), or delete them."
            )
        out = [path for path in links if not stays_inside(prefix, path, str(prefix))]
        if out:
            raise BadArchive(
                f"{prefix} has links to folders outside or to missing files: "
                f"{', '.join(f'{path} -> {(prefix / path).readlink()}' for path in out)}. "
                "Nodes do not have their targets: copy it in, or delete the links."
            )
        return chosen

    def _add_remaining(self, writer: TarWriter, on_packed: OnPacked) -> None:
        """Adds conda's records without paths of this machine."""
        for path, metadata in read_conda_meta(self._prefix).items():
            if "name" in metadata:
                files = [file for file in metadata.get("files", ()) if not file.endswith(".pyc")]
                data = portable_record(metadata, Record.from_json(metadata), files)
                writer.add_bytes(f"conda-meta/{path.name}", data)


def _digest(prefix: Path, files: States, complete: bool) -> str:
    digest = hashlib.sha256(
        f"{REQUEST_FORMAT} {packing(bytecode=True, complete=complete)} ".encode() + os.fsencode(prefix)
    )
    for path, state in sorted(files.items()):
        digest.update(os.fsencode(path) + b"\0%d\0%d\0%d\0%d\n" % state)
    return digest.hexdigest()


def _listed(prefix: Path, before: States) -> list[str]:
    """The files that conda-pack would pack, without bytecode."""
    try:
        from conda_pack import CondaEnv, CondaPackException
    except ImportError:
        raise SolverMissing.extra("conda-pack, which lists the files of a conda environment,") from None

    try:
        # Files that pip replaced are missing for conda. This does not matter: files are read from the prefix.
        found = CondaEnv.from_prefix(str(prefix), on_missing_cache="ignore", ignore_missing_files=True)
    except CondaPackException as error:
        raise BadArchive(f"{prefix} cannot be packed: {error}") from error
    except (KeyError, ValueError) as error:
        raise BadArchive(f"{prefix} has a file in conda-meta that is not a package record ({error!r})") from error
    targets = {file.target for file in found if not file.target.endswith(".pyc")}
    return sorted(path for path in targets if path in before or (prefix / path).is_dir())


def _managed(prefix: Path) -> set[str]:
    """Files of conda and pip packages. A file among them that looks like a key is an example, not a secret of the user."""
    managed = {file for record in read_conda_meta(prefix).values() for file in record.get("files", ())}
    for info in prefix.glob("lib/python*/site-packages/*.dist-info"):
        site = info.parent.relative_to(prefix).as_posix()
        files = Distribution.at(info).files or ()
        managed |= {posixpath.normpath(posixpath.join(site, file.as_posix())) for file in files}
    return managed


def _grouped(files: Iterable[str], before: States) -> dict[str, list[str]]:
    """Files by the name of their part; equal contents give equal parts."""
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
