"""Pruning: deletes entries of a cache by age, size and use. `choose` is pure; `HdfsPruner` works on HDFS.

An entry with a valid lease is never deleted (`knit_core.hdfs_cache.leases` describes how this is safe with a launch at the
same time), nor an entry that was used within the last hour.
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
from knit_core.hdfs_cache.leases import PUSHED, Lease, Leases, announcement, announcements, is_valid
from knit_core.model.cluster_facts import FileStatus
from knit_core.model.representation import shown
from knit_core.model.states import ACTIVE

OLDER_THAN = 30 * 86400.0  # seconds
YOUNGEST = 3600.0  # seconds; an entry used within this time is kept: it is likely to be used again
HALF_WRITTEN = 86400.0  # seconds after which a temporary file is abandoned
_INTERRUPTED = 3600.0  # seconds after which an unfinished pruning counts as killed; another one finishes it
_PARALLEL = 6
# Names of an ApplicationMaster's temporary files.
_OF_MASTER = re.compile(r"\.(journal-\d+-\d+|(master|result\.json)\.\d+)")


@shown
@dataclass(frozen=True)
class Item:
    """An entry that may be pruned.

    Attributes:
        path: its path.
        size: bytes.
        used: ms since the epoch, the last known use.
        holders: applications that use it now; `push` for an entry that was pushed within the last seven days.
        name: a label.
    """

    path: str
    size: int
    used: int
    holders: tuple[str, ...] = ()
    name: str = ""


@shown
@dataclass(frozen=True)
class Pruned:
    """Entries that were deleted (in a dry run: would be), and entries that stay."""

    gone: tuple[Item, ...]
    kept: tuple[Item, ...]
    swept: int = 0  # temporary files of killed uploads and prunings

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
        items: all items in the cache.
        now: ms since the epoch.
        older_than: seconds; items unused for this time are deleted. `OLDER_THAN` if neither this nor a size is given.
        keep_size: bytes; the least recently used items are deleted until at most this size is left.
        youngest: seconds; items used within this time stay, even if `keep_size` is exceeded.
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
        """Delete entries; arguments as for `choose`.

        Returns:
            What was deleted and what stays; with `dry_run` nothing is deleted.
        """
        entries = self._entries()
        leases, valid = self._leases()
        items = [self._item(folder, files, leases, valid) for folder, files in entries.items()]
        chosen = choose(items, self._clock() * 1000, older_than=older_than, keep_size=keep_size, youngest=youngest)
        if not dry_run:
            if chosen:
                self._make_announcements()
            chosen = [item for item in chosen if self._remove(item)]
        gone = {item.path for item in chosen}
        swept = self._delete_leftovers(entries, dry_run)
        if not dry_run:
            self._drop_invalid(
                leases, valid, {posixpath.basename(item.path) for item in items if item.path not in gone}
            )
        return Pruned(tuple(chosen), tuple(item for item in items if item.path not in gone), swept)

    def _entries(self) -> dict[str, list[FileStatus]]:
        folders = [status.path for status in self.hdfs.list(self.cache) if status.folder]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return dict(zip(folders, pool.map(self.hdfs.list, folders), strict=True))

    def _leases(self) -> tuple[dict[str, list[Lease]], dict[str, list[Lease]]]:
        """All leases by digest, and the valid ones by digest."""
        found = self.leases.all()
        living = {report.id for report in self.rm.apps(states=ACTIVE)} if found else set()
        known: dict[str, bool] = {}
        now = self._clock() * 1000
        leases: dict[str, list[Lease]] = defaultdict(list)
        valid: dict[str, list[Lease]] = defaultdict(list)
        for lease in sorted(
            found, key=lambda lease: -lease.at
        ):  # an application's newest lease decides for all of them
            leases[lease.digest].append(lease)
            user = lease.name if lease.app_id == PUSHED else lease.app_id
            if user not in known:
                known[user] = is_valid(lease, living, lambda app_id: self.rm.app(app_id).state, now)
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
        whole = [file for file in files if not _is_temporary(file)]
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

    def _make_announcements(self) -> None:
        """Make the folder for announcements. In a shared cache every user may delete announcements."""
        folder = announcements(self.base)
        if self.hdfs.status(folder) is None:
            self.hdfs.mkdirs(folder, "777" if self._shared else "700")
            if self._shared:
                self.hdfs.set_permission(folder, "777")  # the umask of the filesystem does not apply

    def _remove(self, item: Item) -> bool:
        """Announce the removal, read the leases again, move the entry away; False when an application uses it now.

        Neither the announcement nor the move is repeated: a late one would undo a withdrawal by a launch.
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
        except (NotFound, NotAuthorized):  # deleted by another pruning, or owned by another user
            moved = False
        except (ConnectionFailed, ServiceUnavailable):  # the outcome is not known until the target is deleted
            self.hdfs.delete(trash, recursive=True)
            return self.hdfs.status(item.path) is None
        self.hdfs.delete(trash, recursive=True)
        return moved

    def _drop_invalid(self, leases: dict[str, list[Lease]], valid: dict[str, list[Lease]], present: set[str]) -> None:
        """Delete invalid leases. The newest lease of each remaining entry stays: it records the last use."""
        for digest, found in leases.items():
            over = sorted((lease for lease in found if lease not in valid[digest]), key=lambda lease: lease.at)
            for lease in over[:-1] if digest in present else over:
                try:
                    self.leases.drop(lease)
                except NotAuthorized:  # of another user of a shared cache, whose own pruning deletes it
                    continue

    def _delete_leftovers(self, entries: dict[str, list[FileStatus]], dry_run: bool) -> int:
        """Delete old temporary files of killed uploads and prunings; returns their number."""
        oldest = (self._clock() - HALF_WRITTEN) * 1000
        old = [
            file.path for files in entries.values() for file in files if _is_temporary(file) and file.modified < oldest
        ]
        interrupted = (self._clock() - _INTERRUPTED) * 1000
        old += [each.path for each in self.hdfs.list(announcements(self.base)) if each.modified < interrupted]
        return len(old) if dry_run else sum(self.hdfs.delete(path, recursive=True) for path in old)


def delete_temporaries(
    hdfs: WebHdfs, staging: str, *, clock: Callable[[], float] = time.time, dry_run: bool = False
) -> int:
    """Delete old temporary files of launch records, the key, notes and results; returns their number.

    Their writers were killed.

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
        while folders:  # first the folders of keys and applications, then theirs
            found = [row for listed in pool.map(hdfs.list, folders) for row in listed]
            rows += found
            folders = [row.path for row in found if row.folder]
    old = [
        row.path
        for row in rows
        if not row.folder and (_is_temporary(row) or _OF_MASTER.fullmatch(row.name)) and row.modified < oldest
    ]
    return len(old) if dry_run else sum(hdfs.delete(path) for path in old)


def _is_temporary(status: FileStatus) -> bool:
    """Whether it is an incomplete file: its upload goes on, or its writer died."""
    return status.name.startswith(".") and status.name.endswith(".tmp")


__all__ = ["HALF_WRITTEN", "OLDER_THAN", "YOUNGEST", "HdfsPruner", "Item", "Pruned", "choose", "delete_temporaries"]
