"""Making room: which entries of a cache may go, by age, size and use. `choose` is pure; `HdfsPruner` does it on HDFS.

An entry that an application holds a lease on is never deleted (see `knit_core.leases` for how a launch at the same moment
is kept safe), nor one that was used within the last hour.
"""

from __future__ import annotations

import posixpath
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from knit_core.errors import NotAuthorized, NotFound
from knit_core.facts import FileStatus
from knit_core.leases import Lease, Leases, holds, marked
from knit_core.resourcemanager import ResourceManager
from knit_core.states import ACTIVE
from knit_core.webhdfs import WebHdfs

OLDER_THAN = 30 * 86400.0  # seconds
YOUNGEST = 3600.0  # what was used within this is always kept: it may be about to be used again
_HALF_UPLOADS = 86400.0  # seconds after which a temporary file is nobody's any more
_PATIENCE = 10.0  # seconds within which a marked entry is deleted, or not at all
_PARALLEL = 6


@dataclass(frozen=True)
class Item:
    """Something that may be pruned.

    Attributes:
        path: where it is.
        size: bytes.
        used: milliseconds of the epoch, the last use that is known.
        holders: applications that use it now.
        name: for people.
    """

    path: str
    size: int
    used: int
    holders: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Pruned:
    """What was deleted (or would be), and what stays."""

    gone: tuple[Item, ...]
    kept: tuple[Item, ...]
    swept: int = 0  # half uploads

    @property
    def freed(self) -> int:
        """Bytes."""
        return sum(item.size for item in self.gone)


def choose(
    items: Iterable[Item],
    now: float,
    *,
    older_than: float | None = None,
    keep_size: int | None = None,
    youngest: float = YOUNGEST,
) -> list[Item]:
    """The items to delete, the least recently used first.

    Args:
        items: everything in the cache.
        now: milliseconds of the epoch.
        older_than: seconds; what was not used for so long goes. Without it and without a size: `OLDER_THAN`.
        keep_size: bytes; then the least recently used ones go until no more than this is left.
        youngest: seconds; what was used within this stays, whatever the size.
    """
    if older_than is None and keep_size is None:
        older_than = OLDER_THAN
    everything = sorted(items, key=lambda item: (item.used, item.path))
    left = sum(item.size for item in everything)
    chosen = []
    for item in everything:
        idle = (now - item.used) / 1000
        if item.holders or idle < youngest:
            continue
        if (older_than is not None and idle >= older_than) or (keep_size is not None and left > keep_size):
            chosen.append(item)
            left -= item.size
    return chosen


class HdfsPruner:
    """Prunes one cache on HDFS: `<root>/cache`, with its leases."""

    def __init__(
        self,
        hdfs: WebHdfs,
        rm: ResourceManager,
        cache: str,
        leases: Leases,
        *,
        clock: Callable[[], float] = time.time,
        hook: Callable[[str], None] | None = None,
    ) -> None:
        self.hdfs, self.rm, self.cache, self.leases = hdfs, rm, cache, leases
        self._clock, self._hook = clock, hook or (lambda step: None)

    def prune(
        self,
        *,
        older_than: float | None = None,
        keep_size: int | None = None,
        dry_run: bool = False,
        youngest: float = YOUNGEST,
    ) -> Pruned:
        """Deletes what may go; arguments as for `choose`.

        Returns:
            What went and what stays; with `dry_run` nothing was touched.
        """
        entries = self._entries()
        leases, valid = self._leases()
        items = [self._item(folder, files, leases, valid) for folder, files in entries.items()]
        chosen = choose(items, self._clock() * 1000, older_than=older_than, keep_size=keep_size, youngest=youngest)
        if not dry_run:
            chosen = [item for item in chosen if self._delete(item, entries[item.path])]
        gone = {item.path for item in chosen}
        swept = self._sweep(entries, dry_run)
        if not dry_run:
            self._tidy(leases, valid, {posixpath.basename(item.path) for item in items if item.path not in gone})
        return Pruned(tuple(chosen), tuple(item for item in items if item.path not in gone), swept)

    def _entries(self) -> dict[str, list[FileStatus]]:
        folders = [status.path for status in self.hdfs.list(self.cache) if status.folder]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return dict(zip(folders, pool.map(self.hdfs.list, folders), strict=True))

    def _leases(self) -> tuple[dict[str, list[Lease]], dict[str, list[Lease]]]:
        """All leases by digest, and those that hold."""
        found = self.leases.all()
        living = {report.id for report in self.rm.apps(states=ACTIVE)} if found else set()
        known: dict[str, bool] = {}
        now = self._clock() * 1000
        leases: dict[str, list[Lease]] = defaultdict(list)
        valid: dict[str, list[Lease]] = defaultdict(list)
        for lease in found:
            leases[lease.digest].append(lease)
            if lease.app_id not in known:
                known[lease.app_id] = holds(lease, living, lambda app_id: self.rm.app(app_id).state, now)
            if known[lease.app_id]:
                valid[lease.digest].append(lease)
        return leases, valid

    def _item(
        self,
        folder: str,
        files: Sequence[FileStatus],
        leases: dict[str, list[Lease]],
        valid: dict[str, list[Lease]],
    ) -> Item:
        digest = posixpath.basename(folder)
        whole = [file for file in files if not _half(file)]
        used = max([0, *(file.modified for file in whole), *(lease.at for lease in leases[digest])])
        if not whole and files:
            used = max(file.modified for file in files)  # an upload under way
        return Item(
            folder,
            sum(file.size for file in whole),
            used,
            tuple(sorted(lease.app_id for lease in valid[digest])),
            ", ".join(file.name for file in whole),
        )

    def _delete(self, item: Item, files: Sequence[FileStatus]) -> bool:
        """Marks, looks again whether somebody came, and deletes; False when somebody did."""
        begun = time.monotonic()
        whole = [file for file in files if not _half(file)]
        try:
            for file in whole:
                self.hdfs.set_permission(file.path, _without_write(file.permission))
            self._hook("marked")
            _, valid = self._leases()
            late = time.monotonic() - begun > _PATIENCE  # a launch may have given up waiting for this process
            if valid[posixpath.basename(item.path)] or late:
                for file in whole:
                    self.hdfs.set_permission(file.path, _with_write(file.permission))
                return False
            return self.hdfs.delete(item.path, recursive=True)
        except (NotFound, NotAuthorized):  # somebody else's, or deleted by another pruning
            return False

    def _tidy(self, leases: dict[str, list[Lease]], valid: dict[str, list[Lease]], present: set[str]) -> None:
        """Removes leases that do not hold, but the newest of each entry that is still there: it tells the last use."""
        for digest, found in leases.items():
            over = sorted((lease for lease in found if lease not in valid[digest]), key=lambda lease: lease.at)
            for lease in over[:-1] if digest in present else over:
                try:
                    self.leases.drop(lease)
                except NotAuthorized:  # of another user of a shared cache, who tidies up himself
                    continue

    def _sweep(self, entries: dict[str, list[FileStatus]], dry_run: bool) -> int:
        """Deletes temporary files of uploads that were killed long ago."""
        oldest = (self._clock() - _HALF_UPLOADS) * 1000
        old = [file.path for files in entries.values() for file in files if _half(file) and file.modified < oldest]
        return len(old) if dry_run else sum(self.hdfs.delete(path) for path in old)


def _half(status: FileStatus) -> bool:
    """A file that is being uploaded, or was when its writer died."""
    return status.name.startswith(".") and status.name.endswith(".tmp")


def _without_write(permission: str) -> str:
    return f"{int(permission, 8) & ~0o200:o}".rjust(3, "0")


def _with_write(permission: str) -> str:
    return f"{int(permission, 8) | 0o200:o}".rjust(3, "0")


__all__ = ["OLDER_THAN", "YOUNGEST", "HdfsPruner", "Item", "Pruned", "choose", "marked"]
