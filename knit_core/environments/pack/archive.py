"""Packing a prefix to an archive: one gzip member for each part, kept by a key of its contents, then concatenated.

A `.tar.gz` may consist of several gzip members; GNU tar, Python and YARN read them as one archive. A part that was packed
before is not packed again, and environments that differ in one package share the members of all others. The last member
has the lock, files that belong to no part, and the end of the archive.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from knit_core.environments.pack.bytecode import compile_bytecode
from knit_core.environments.pack.compression import compressor, gzip_member
from knit_core.environments.pack.conda_meta import LOCK_NAME
from knit_core.environments.pack.file_filter import keeps_everything, looks_secret, needed
from knit_core.environments.pack.glibc import NEEDS, Version, needs, newest
from knit_core.environments.pack.tarball import TarWriter, link_target
from knit_core.environments.pack.variables import SCRIPT_NAME, read_variables, script
from knit_core.environments.solution import Solution

_BLOCK = 1 << 20  # bytes

log = logging.getLogger(__name__)

#: Called with a name, finished parts, parts in all.
OnPacked = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Part:
    """Files that become one gzip member.

    Attributes:
        name: unique in the archive.
        files: relative paths.
        key: names the member's bytes, to keep it for other archives; empty: the member is for this archive only.
    """

    name: str
    files: Sequence[str]
    key: str = ""


@dataclass(frozen=True)
class Packed:
    """A finished archive. `sizes`: bytes of each part by its name."""

    sha256: str
    size: int
    sizes: Mapping[str, int] = field(default_factory=dict)


def packing(*, bytecode: bool, complete: bool = False) -> str:
    """Names everything besides the packages that changes an archive's bytes."""
    what = "all files" if complete else "needed files"
    return f"{compressor()} {'unchecked-hash bytecode' if bytecode else 'no bytecode'} {what}"


class Packer(ABC):
    """Packs one prefix. Subclasses say which parts it has."""

    def __init__(
        self,
        prefix: Path,
        embedded: str,
        solution: Solution,
        *,
        members: Path,
        scratch: Path,
        bytecode: bool,
        complete: bool = False,
    ) -> None:
        """Packs nothing yet.

        Args:
            prefix: the installed files; they are only read.
            embedded: the path of the environment that is written in its files.
            solution: the installed packages.
            members: keeps packed parts.
            scratch: an empty folder on the same disk.
            bytecode: whether to compile Python files; the environment's Python must run on this machine.
            complete: whether to include headers, type stubs, tests and manuals. They are always included if a package
                compiles code at run time.
        """
        self.solution = solution
        self._prefix, self._embedded = prefix, embedded
        self._members, self._scratch = members, scratch
        self._bytecode = bytecode
        self._complete = complete or keeps_everything(record.name for record in solution.records)
        self._glibc: dict[str, Version] = {}

    @abstractmethod
    def _parts(self, on_packed: OnPacked) -> list[Part]:
        """The parts, in the order of the archive."""

    @abstractmethod
    def _add_remaining(self, writer: TarWriter, on_packed: OnPacked) -> None:
        """Adds to the last member what is in no part."""

    def _metadata(self, part: Part, files: Sequence[str]) -> tuple[str, bytes] | None:
        """A file that describes the part, which has these files: path and bytes."""
        return None

    def _check_packed(self, part: Part) -> None:  # noqa: B027 (few packers check)
        """Raises if the part must not be kept."""

    def write(self, archive: Path, on_packed: OnPacked) -> Packed:
        """Writes the archive. `on_packed` is called in this thread."""
        self._members.mkdir(parents=True, exist_ok=True)
        tasks = {part.name: partial(self._member, part) for part in self._parts(on_packed)}
        paths = in_parallel(tasks, on_packed)
        sizes = {name: path.stat().st_size for name, path in zip(tasks, paths, strict=True)}
        return replace(concatenate([*paths, self._last_member(on_packed)], archive), sizes=sizes)

    def _member(self, part: Part) -> Path:
        """The part's gzip member: kept from before, or packed now."""
        kept = Member(self._members, part.key) if part.key else None
        if kept and (glibc := kept.glibc()) is not None:
            self._glibc[part.name] = glibc
            return kept.path
        files = self._selected(part.files)
        label = hashlib.sha256(os.fsencode(part.name)).hexdigest()[:16]
        sources = files if self._bytecode else ()
        bytecode = compile_bytecode(self._prefix, self._embedded, sources, self._scratch / f"compiled-{label}")
        fresh = self._scratch / f"{label}.gz"
        with gzip_member(fresh) as stream:
            writer = TarWriter(stream, self._embedded)
            for path in files:
                writer.add(path, self._prefix)
            for path, data in bytecode:
                writer.add_bytes(path, data)
            if metadata := self._metadata(part, [*files, *bytecode.sizes]):
                writer.add_bytes(*metadata)
        self._check_packed(part)
        self._glibc[part.name] = writer.glibc
        return kept.keep(fresh, writer.glibc) if kept else fresh

    def _selected(self, files: Sequence[str]) -> list[str]:
        """The files to pack, sorted."""
        chosen = sorted(files) if self._complete else needed(files, self._prefix)
        return [path for path in chosen if stays_inside(self._prefix, path, self._embedded)]

    def _last_member(self, on_packed: OnPacked) -> Path:
        member = self._scratch / "last.gz"
        with gzip_member(member) as stream:
            writer = TarWriter(stream, self._embedded)
            self._add_remaining(writer, on_packed)
            writer.add_bytes(LOCK_NAME, self.solution.lock())
            # read by a container before it starts Python
            if variables := read_variables(self._prefix, partial(report_left_out, on_packed=on_packed)):
                writer.add_bytes(SCRIPT_NAME, script(variables, self._embedded))
            if requirements := needs(self.solution.platform, newest([*self._glibc.values(), writer.glibc])):
                writer.add_bytes(NEEDS, requirements)
            writer.add_bytes("conda-meta/history", b"")  # conda takes a folder with this file for an environment
            writer.finish()
        return member


@dataclass(frozen=True)
class Member:
    """A gzip member that is kept for other archives, with the glibc version that its files need."""

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        """The member's file."""
        return self.folder / f"{self.key}.gz"

    def glibc(self) -> Version | None:
        """The version that its files need; None if there is no such member."""
        try:
            described = json.loads((self.folder / f"{self.key}.json").read_bytes())
            if self.path.stat().st_size != described["size"]:  # after a power cut
                return None
            os.utime(self.path)  # used now: pruning keeps it
            return tuple(described["glibc"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def keep(self, fresh: Path, glibc: Version) -> Path:
        """Renames a finished file to the member; its new path."""
        described = fresh.with_suffix(".json")
        described.write_text(json.dumps({"glibc": glibc, "size": fresh.stat().st_size}))
        described.replace(self.folder / f"{self.key}.json")
        return fresh.replace(self.path)


def leave_out_secrets(files: Iterable[str], prefix: Path, on_packed: OnPacked) -> list[str]:
    """The files without those that look like secrets, which are reported."""
    kept = []
    for path in files:
        if looks_secret(path, prefix):
            report_left_out(path, on_packed)
        else:
            kept.append(path)
    return kept


def report_left_out(what: str, on_packed: OnPacked) -> None:
    """Reports and logs that something is not packed because it looks like a secret."""
    log.warning("left out of the environment, as it looks like a secret: %s", what)
    on_packed(f"left out, as it looks like a secret: {what}", 0, 0)


def stays_inside(prefix: Path, path: str, embedded: str) -> bool:
    """False for a link to a folder outside or to a missing file: on a node it would lead somewhere else."""
    place = prefix / path
    return not place.is_symlink() or link_target(path, prefix, embedded) is not None or place.is_file()


def in_parallel(tasks: Mapping[str, Callable[[], Path]], on_packed: OnPacked) -> list[Path]:
    """Runs the tasks on a few threads (compression and compilation release the interpreter lock); results in order.

    `on_packed` is called in this thread. After the first failure, or Ctrl-C, no further task is started.
    """
    results: dict[str, Path] = {}
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="knit-pack")
    try:
        futures = {pool.submit(task): name for name, task in tasks.items()}
        for future in as_completed(futures):
            results[futures[future]] = future.result()
            on_packed(futures[future], len(results), len(tasks))
    finally:
        pool.shutdown(cancel_futures=True)
    return [results[name] for name in tasks]


def concatenate(members: Iterable[Path], archive: Path) -> Packed:
    """Concatenates gzip members to an archive and computes its digest.

    The archive is not flushed to disk. A power cut changes its size, or its digest, which is checked at the upload.
    """
    digest = hashlib.sha256()
    with archive.open("wb") as out, ThreadPoolExecutor(1, thread_name_prefix="knit-digest") as pool:
        for member in members:
            with member.open("rb", buffering=0) as file:
                while block := file.read(_BLOCK):
                    digesting = pool.submit(digest.update, block)
                    out.write(block)
                    digesting.result()
        return Packed(digest.hexdigest(), out.tell())
