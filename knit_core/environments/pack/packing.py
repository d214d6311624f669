"""Packs an installed prefix into an archive: one gzip member for each package, kept by what is in it, put end to end.

A `.tar.gz` may consist of many gzip members; GNU tar, Python and YARN read it like any other. So a package that was
packed once need not be packed again, and environments that differ in one package share the work for all others. The
last member has what belongs to no package: the lock, files that were added, the end of the archive.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from knit_core.environments.pack.bytecode import compile_bytecode
from knit_core.environments.pack.compression import compressor, gzip_member
from knit_core.environments.pack.file_filter import keeps_everything, looks_secret, needed
from knit_core.environments.pack.glibc import NEEDS, Version, needs, newest
from knit_core.environments.pack.tarball import TarWriter, link_target
from knit_core.environments.pack.variables import SCRIPT_NAME, read_variables, script
from knit_core.environments.solution import ARCHIVE_FORMAT, Record, Solution

# Not *.json: conda takes each of those for a package.
LOCK_NAME = "conda-meta/knit.lock"
#: Below conda-meta: `<name>.json` for each package that pip installed, with its `files`.
WHEELS_FOLDER = "pypi"

# What a package's record says about the place it was installed in and from, rather than about the package.
_PLACE_KEYS = {"channel", "extracted_package_dir", "files", "link", "package_tarball_full_path", "paths_data", "url"}
_PLACE_KEYS |= {"requested_spec", "requested_specs", "indexed_timestamp"}
# Written by installers into a prefix for themselves.
_NOT_PACKED = {"CACHEDIR.TAG", ".condarc"}

_BLOCK = 1 << 20  # bytes

# Where py-rattler puts the files of a package that another package has too.
_LOSERS = "__clobbers__/"

log = logging.getLogger(__name__)

#: Called with a name, how many are done, how many there are.
OnPacked = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Installed:
    """A prefix with packages in it, and the path that its files believe to be in."""

    prefix: Path
    embedded: str


@dataclass(frozen=True)
class Packed:
    """A finished archive."""

    sha256: str
    size: int
    sizes: Mapping[str, int] = field(default_factory=dict)  # bytes that each package has of it, by `Record.id`


def packing(*, bytecode: bool, complete: bool = False) -> str:
    """Names everything but the packages that decides an archive's bytes."""
    what = "all files" if complete else "needed files"
    return f"{compressor()} {'unchecked-hash bytecode' if bytecode else 'no bytecode'} {what}"


class Packer:
    """Packs one installed solution."""

    def __init__(
        self,
        installed: Installed,
        solution: Solution,
        *,
        members: Path,
        scratch: Path,
        bytecode: bool,
        complete: bool = False,
    ) -> None:
        """Reads what is installed.

        Args:
            installed: the prefix; it is only read.
            solution: the packages that are in it.
            members: where packed packages are kept.
            scratch: an empty folder on the same disk.
            bytecode: whether to add bytecode; the environment's Python must run on this machine then.
            complete: whether headers, type stubs, tests and manuals travel, too; they do where something compiles.
        """
        self._installed = installed
        self._solution = solution
        self._members = members
        self._scratch = scratch
        self._bytecode = bytecode and solution.python is not None
        self._complete = complete or keeps_everything(record.name for record in solution.records)
        self._metadata = _read_metadata(installed.prefix)
        self._glibc: dict[str, Version] = {}
        paths = Counter(path for record in self._metadata.values() for path in record["files"])
        self._contested = {path for path, count in paths.items() if count > 1}

    def write(self, archive: Path, on_packed: OnPacked) -> Packed:
        """Writes the archive."""
        self._members.mkdir(parents=True, exist_ok=True)
        tasks = {record.id: lambda r=record: self._package_member(r) for record in self._solution.records}
        parts = in_parallel(tasks, on_packed)
        sizes = {name: part.stat().st_size for name, part in zip(tasks, parts, strict=True)}
        return replace(concatenate([*parts, self._last_member(on_packed)], archive), sizes=sizes)

    def _package_member(self, record: Record) -> Path:
        metadata = self._metadata[record.id]
        losing = any(path.startswith(_LOSERS) for path in metadata["files"])
        files = [path for path in metadata["files"] if not path.endswith(".pyc") and not path.startswith(_LOSERS)]
        kept = Member(self._members, self._member_key(record))
        # A package that shares a path with another one, or that pip took files of, is packed as it came out in this
        # prefix, for this archive only.
        changed = losing or metadata.get("changed", False)
        reusable = bool(record.digest) and self._contested.isdisjoint(files) and not changed
        if reusable and (glibc := kept.glibc()) is not None:
            self._glibc[record.id] = glibc
            return kept.path
        prefix, files = self._installed.prefix, self._travelling(files)
        python = files if self._bytecode else ()
        bytecode = compile_bytecode(prefix, self._installed.embedded, python, self._scratch / record.id)
        fresh = self._scratch / f"{record.id}.gz"
        with gzip_member(fresh) as stream:
            writer = TarWriter(stream, self._installed.embedded)
            for path in sorted(files):
                writer.add(path, prefix)
            for path, data in bytecode:
                writer.add_bytes(path, data)
            if record.kind == "conda":
                name = f"conda-meta/{record.name}-{record.version}-{record.build}.json"
                described = _as_the_package_says(metadata, record)
                writer.add_bytes(name, portable_metadata(described, record, [*files, *bytecode.sizes]))
        self._glibc[record.id] = writer.glibc
        return kept.keep(fresh, writer.glibc) if reusable else fresh

    def _travelling(self, files: list[str]) -> list[str]:
        prefix = self._installed.prefix
        chosen = files if self._complete else needed(files, prefix)
        return [path for path in chosen if stays_inside(prefix, path, self._installed.embedded)]

    def _member_key(self, record: Record) -> str:
        """Names a member's bytes. Python is part of it: it decides the place of noarch packages and the bytecode."""
        python = self._solution.python
        parts = [record.to_json(), python.digest if python else "", self._packing(), ARCHIVE_FORMAT]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _packing(self) -> str:
        return packing(bytecode=self._bytecode, complete=self._complete)

    def _last_member(self, on_packed: OnPacked) -> Path:
        part, prefix = self._scratch / ".last.gz", self._installed.prefix
        with gzip_member(part) as stream:
            writer = TarWriter(stream, self._installed.embedded)
            for path in without_secrets(self._travelling(self._unmanaged()), prefix, on_packed):
                writer.add(path, prefix)
            writer.add_bytes(LOCK_NAME, self._solution.lock())
            glibc = newest([*self._glibc.values(), writer.glibc])
            finish(writer, self._installed, self._solution.platform, glibc, on_packed)
        return part

    def _unmanaged(self) -> list[str]:
        """Files of the prefix that belong to no package: link scripts wrote them."""
        managed = {path for record in self._metadata.values() for path in record["files"]}
        found = []
        for folder, folders, names in os.walk(self._installed.prefix):
            folders[:] = sorted(name for name in folders if name not in {"__pycache__", "conda-meta"})
            for name in [*names, *(name for name in folders if Path(folder, name).is_symlink())]:
                path = Path(folder, name).relative_to(self._installed.prefix).as_posix()
                if path not in managed and path not in _NOT_PACKED:
                    found.append(path)
        return sorted(found)


@dataclass(frozen=True)
class Member:
    """A gzip member that is kept for other archives, and beside it which glibc its files need."""

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        """The member."""
        return self.folder / f"{self.key}.gz"

    def glibc(self) -> Version | None:
        """What its files need; None when there is no such member."""
        try:
            note = json.loads((self.folder / f"{self.key}.json").read_bytes())
            if self.path.stat().st_size != note["size"]:  # a power cut
                return None
            os.utime(self.path)  # used now: pruning leaves it
            return tuple(note["glibc"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def keep(self, fresh: Path, glibc: Version) -> Path:
        """Makes a finished file the member."""
        note = fresh.with_suffix(".json")
        note.write_text(json.dumps({"glibc": glibc, "size": fresh.stat().st_size}))
        note.replace(self.folder / f"{self.key}.json")
        return fresh.replace(self.path)


def without_secrets(files: Iterable[str], prefix: Path, on_packed: OnPacked) -> list[str]:
    """The files without those that look like somebody's secret; each that is left out is told and logged."""
    kept = []
    for path in files:
        if looks_secret(path, prefix):
            tell_left_out(path, on_packed)
        else:
            kept.append(path)
    return kept


def tell_left_out(what: str, on_packed: OnPacked) -> None:
    """Says that something stays on this machine."""
    log.warning("left out of the environment, as it looks like a secret: %s", what)
    on_packed(f"left out, as it looks like a secret: {what}", 0, 0)


def stays_inside(prefix: Path, path: str, embedded: str) -> bool:
    """False for a link that leads to a folder outside or to nothing there: it would mean something else on a node."""
    place = prefix / path
    return not place.is_symlink() or link_target(path, prefix, embedded) is not None or place.is_file()


def finish(writer: TarWriter, installed: Installed, platform: str, glibc: Version, on_packed: OnPacked) -> None:
    """Adds what a container reads before it starts Python, and ends the archive."""
    variables = read_variables(installed.prefix, lambda what: tell_left_out(what, on_packed))
    if variables:
        writer.add_bytes(SCRIPT_NAME, script(variables, installed.embedded))
    if needed_here := needs(platform, glibc):
        writer.add_bytes(NEEDS, needed_here)
    writer.add_bytes("conda-meta/history", b"")  # makes it an environment to conda
    writer.finish()


def in_parallel(tasks: Mapping[str, Callable[[], Path]], on_packed: OnPacked) -> list[Path]:
    """Runs the tasks on a few threads (compressing and compiling leave the interpreter free); results in their order.

    `on_packed` is called in this thread. The first failure, or Ctrl-C, ends it as soon as the running tasks are done.
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


def concatenate(parts: Iterable[Path], archive: Path) -> Packed:
    """Puts gzip members end to end; meanwhile their digest is computed.

    Nothing waits for the disk: what a power cut spoils has another size, or is found by its digest when it is uploaded.
    """
    digest = hashlib.sha256()
    with archive.open("wb") as out, ThreadPoolExecutor(1, thread_name_prefix="knit-digest") as pool:
        for part in parts:
            with part.open("rb", buffering=0) as file:
                while block := file.read(_BLOCK):
                    digesting = pool.submit(digest.update, block)
                    out.write(block)
                    digesting.result()
        return Packed(digest.hexdigest(), out.tell())


def _read_metadata(prefix: Path) -> dict[str, Any]:
    records = [json.loads(path.read_bytes()) for path in sorted((prefix / "conda-meta").glob("*.json"))]
    found = {record["name"]: record for record in records if "files" in record}
    # What pip installed is noted by `wheels.note_wheels`, in a folder that conda does not look into.
    for path in (prefix / "conda-meta" / WHEELS_FOLDER).glob("*.json"):
        found[f"pypi:{path.stem}"] = json.loads(path.read_bytes())
    return found


def _as_the_package_says(metadata: Mapping[str, Any], record: Record) -> Mapping[str, Any]:
    """The record with the package's own description, where it is there: a channel may have patched what it tells, and
    whoever installs from a lock file does not ask the channel. The bytes must not depend on that."""
    try:
        described = json.loads((Path(metadata["extracted_package_dir"]) / "info" / "index.json").read_bytes())
    except (KeyError, TypeError, OSError, ValueError):
        return metadata
    digest = {"sha256" if len(record.digest) == 64 else "md5": record.digest} if record.digest else {}
    return {**described, **digest, "files": metadata["files"]}


def portable_metadata(metadata: Mapping[str, Any], record: Record, files: Iterable[str]) -> bytes:
    """The package's conda-meta record without the places of this build: the same everywhere."""
    portable = {key: value for key, value in metadata.items() if key not in _PLACE_KEYS}
    # conda-pack wants a link entry, conda the others.
    portable |= {"files": sorted(files), "link": None, "url": record.url, "channel": record.url.rsplit("/", 2)[0]}
    return json.dumps(portable, indent=1, sort_keys=True).encode()
