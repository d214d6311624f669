"""Making room: which entries of a cache may go, by age, size and use. `choose` is pure; `HdfsPruner` does it on HDFS.

An entry that an application holds a lease on is never deleted (`knit_core.hdfs_cache.leases` says how a launch at
the same moment is kept safe), nor one that was used within the last hour.
"""

from __future__ import annotations

import posixpath
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from knit_core.errors import ConnectionFailed, NotAuthorized, NotFound, ServiceUnavailable
from knit_core.hadoop.resource_manager import ResourceManager
from knit_core.hadoop.webhdfs import WebHdfs
from knit_core.hdfs_cache.leases import PUSHED, Lease, Leases, announcement, announcements, holds
from knit_core.model.cluster_facts import FileStatus
from knit_core.model.representation import shown
from knit_core.model.states import ACTIVE

OLDER_THAN = 30 * 86400.0  # seconds
YOUNGEST = 3600.0  # what was used within this is always kept: it may be about to be used again
HALF_WRITTEN = 86400.0  # seconds after which a temporary file is nobody's any more
_INTERRUPTED = 3600.0  # seconds after which another pruning finishes what one has begun: it was killed
_PARALLEL = 6
# Names under which an ApplicationMaster begins its files.
_OF_MASTER = re.compile(r"\.(journal-\d+-\d+|(master|result\.json)\.\d+)")


@shown
@dataclass(frozen=True)
class Item:
    """Something that may be pruned.

    Attributes:
        path: where it is.
        size: bytes.
        used: milliseconds of the epoch, the last use that is known.
        holders: applications that use it now; `push`: it was pushed within the last seven days.
        name: for people.
    """

    path: str
    size: int
    used: int
    holders: tuple[str, ...] = ()
    name: str = ""


@shown
@dataclass(frozen=True)
class Pruned:
    """What was deleted (or would be), and what stays."""

    gone: tuple[Item, ...]
    kept: tuple[Item, ...]
    swept: int = 0  # what was left by uploads and prunings that were killed

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
        self.base = posixpath.dirname(cache)
        self._shared = posixpath.dirname(leases.folder) != self.base
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
            if chosen:
                self._open()
            chosen = [item for item in chosen if self._remove(item)]
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
        for lease in sorted(found, key=lambda lease: -lease.at):  # the newest decides for its application
            leases[lease.digest].append(lease)
            user = lease.name if lease.app_id == PUSHED else lease.app_id
            if user not in known:
                known[user] = holds(lease, living, lambda app_id: self.rm.app(app_id).state, now)
            if known[user]:
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
            tuple(sorted({lease.app_id for lease in valid[digest]})),
            ", ".join(file.name for file in whole),
        )

    def _open(self) -> None:
        """Make the folder for announcements. In a cache that users share, each of them may call one off."""
        folder = announcements(self.base)
        if self.hdfs.status(folder) is None:
            self.hdfs.mkdirs(folder, "777" if self._shared else "700")
            if self._shared:
                self.hdfs.set_permission(folder, "777")  # whatever the filesystem's umask is

    def _remove(self, item: Item) -> bool:
        """Announces, looks again whether somebody came, and moves the entry away; False when somebody did.

        Neither the announcement nor the move is repeated: one that arrives late must not undo that a launch called it off.
        """
        digest = posixpath.basename(item.path)
        trash = announcement(self.base, digest)
        try:
            self.hdfs.mkdir_once(trash, "755" if self._shared else "700")
        except (ConnectionFailed, ServiceUnavailable, NotAuthorized):
            return False
        try:
            self._hook("announced")
            _, valid = self._leases()
            moved = not valid[digest] and self.hdfs.rename_once(item.path, f"{trash}/{digest}")
        except (NotFound, NotAuthorized):  # deleted by another pruning, or somebody else's
            moved = False
        except (ConnectionFailed, ServiceUnavailable):  # not known, until its target is gone
            self.hdfs.delete(trash, recursive=True)
            return self.hdfs.status(item.path) is None
        self.hdfs.delete(trash, recursive=True)
        return moved

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
        """Deletes what uploads and prunings left that were killed long ago."""
        oldest = (self._clock() - HALF_WRITTEN) * 1000
        old = [file.path for files in entries.values() for file in files if _half(file) and file.modified < oldest]
        interrupted = (self._clock() - _INTERRUPTED) * 1000
        old += [each.path for each in self.hdfs.list(announcements(self.base)) if each.modified < interrupted]
        return len(old) if dry_run else sum(self.hdfs.delete(path, recursive=True) for path in old)


def sweep_temporaries(
    hdfs: WebHdfs, staging: str, *, clock: Callable[[], float] = time.time, dry_run: bool = False
) -> int:
    """Deletes temporary files beside launch records, the key, notes and results, whose writers were killed; how many.

    Args:
        hdfs: HDFS.
        staging: the staging folder.
        clock: seconds since 1970.
        dry_run: only count them.
    """
    oldest = (clock() - HALF_WRITTEN) * 1000
    rows = hdfs.list(staging)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        folders = [f"{staging}/launches", f"{staging}/apps"]
        while folders:  # of keys and applications, then those within them
            found = [row for listed in pool.map(hdfs.list, folders) for row in listed]
            rows += found
            folders = [row.path for row in found if row.folder]
    old = [
        row.path
        for row in rows
        if not row.folder and (_half(row) or _OF_MASTER.fullmatch(row.name)) and row.modified < oldest
    ]
    return len(old) if dry_run else sum(hdfs.delete(path) for path in old)


def _half(status: FileStatus) -> bool:
    """A file that is being uploaded, or was when its writer died."""
    return status.name.startswith(".") and status.name.endswith(".tmp")


__all__ = ["HALF_WRITTEN", "OLDER_THAN", "YOUNGEST", "HdfsPruner", "Item", "Pruned", "choose", "sweep_temporaries"]
