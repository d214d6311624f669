"""Leases: which application uses which entry of a cache on HDFS, written before the launch relies on the entry.

`<root>/leases/<sha256>.<application id>` is an empty folder: made by one request that may be repeated, owned by who
launches, its modification time says when. One listing shows all of them.

Why a launch and a pruning at the same time cannot hurt one another: a launch writes its lease and then looks at the
entry; a pruning marks the entry (takes its owner's right to write, which changes neither its content nor its modification
time) and then looks at the leases. Whoever comes second sees the other. A launch that sees the mark waits until the entry
is gone, and uploads it, or unmarked again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from knit_core.errors import ApplicationNotFound
from knit_core.facts import FileStatus
from knit_core.states import State
from knit_core.webhdfs import WebHdfs

#: Seconds for which a lease counts whose application the ResourceManager does not know: not submitted yet, or forgotten.
GRACE = 7 * 86400.0

_NAME = re.compile(r"([0-9a-f]{64})\.(application_\d+_\d+)")
_PARALLEL = 6


@dataclass(frozen=True)
class Lease:
    """One application's use of one entry; `at` in milliseconds of the epoch."""

    digest: str
    app_id: str
    at: int
    owner: str = ""


class Leases:
    """The leases of one cache."""

    def __init__(self, hdfs: WebHdfs, folder: str, permission: str = "700") -> None:
        self.hdfs, self.folder, self.permission = hdfs, folder, permission

    def take(self, digests: Iterable[str], app_id: str) -> None:
        """Notes that the application uses these entries; they need not be there yet."""
        paths = [f"{self.folder}/{digest}.{app_id}" for digest in sorted(set(digests))]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda path: self.hdfs.mkdirs(path, self.permission), paths))

    def all(self) -> list[Lease]:
        """Every lease, those of ended applications included."""
        found = ((_NAME.fullmatch(status.name), status) for status in self.hdfs.list(self.folder))
        return [Lease(match[1], match[2], status.modified, status.owner) for match, status in found if match]

    def drop(self, lease: Lease) -> None:
        """Removes one."""
        self.hdfs.delete(f"{self.folder}/{lease.digest}.{lease.app_id}", recursive=True)


def marked(status: FileStatus) -> bool:
    """Whether a pruning is about to delete this entry: its owner may not write it."""
    return not int(status.permission or "600", 8) & 0o200


def holds(lease: Lease, living: set[str], state_of: Callable[[str], State], now: float) -> bool:
    """Whether a lease counts.

    Args:
        lease: what was written.
        living: ids of the applications that run or wait.
        state_of: asks for one application; raises ApplicationNotFound.
        now: milliseconds of the epoch.
    """
    if lease.app_id in living:
        return True
    if now - lease.at > GRACE * 1000:
        return False
    try:
        return not state_of(lease.app_id).ended
    except ApplicationNotFound:
        return True  # within the grace period: a launch under way, or one that the ResourceManager has forgotten


__all__ = ["GRACE", "Lease", "Leases", "holds", "marked"]
