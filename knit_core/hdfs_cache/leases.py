"""Leases: which application uses which entry of a cache on HDFS, written before the launch relies on the entry.

`<root>/leases/<sha256>.<application id>.<nonce>` is an empty folder: made by one request that may be repeated, owned by
who launches, its modification time says when. One listing shows all of them. Whoever takes a lease makes a new one: a
launch that is repeated weeks later counts from then, and no pruning removes a lease that it has not seen. What is brought
to the cache ahead of a launch has a lease with `push` in place of the application id.

Why a launch and a pruning at the same time cannot hurt one another: a pruning announces what it is about to do by an empty
folder `<base>/pruning/<sha256>.<nonce>`, then looks at the leases, and then moves the entry into that folder, by one rename
that is never repeated. A launch writes its lease, then deletes the announcements for its entries, and then looks whether
the entries are there. If the announcement came after the lease, the pruning sees the lease. If it came before, it is gone,
and a rename into it fails, however late it reaches the NameNode; or the entry was moved before, and the launch does not
find it. Clocks and waiting have no part in it, so nothing that is slow can break it.
"""

from __future__ import annotations

import posixpath
import re
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from knit_core.errors import ApplicationNotFound, NotAuthorized, StagingError
from knit_core.hadoop.webhdfs import WebHdfs
from knit_core.model.states import State

#: Seconds for which a lease counts whose application the ResourceManager does not know: not submitted yet, or forgotten.
GRACE = 7 * 86400.0
#: Stands for the application that will use what was pushed.
PUSHED = "push"

_NAME = re.compile(rf"([0-9a-f]{{64}})\.(application_\d+_\d+|{PUSHED})(?:\.[0-9a-f]+)?")
_ENTRY = re.compile(r"(/.+)/cache/([0-9a-f]{64})/[^/]+")
_PARALLEL = 6


@dataclass(frozen=True)
class Lease:
    """One application's use of one entry; `at` in milliseconds of the epoch, `name` that of its folder."""

    digest: str
    app_id: str
    at: int
    owner: str = ""
    name: str = ""


class Leases:
    """The leases of one cache."""

    def __init__(self, hdfs: WebHdfs, folder: str, permission: str = "700") -> None:
        self.hdfs, self.folder, self.permission = hdfs, folder, permission

    def take(self, digests: Iterable[str], app_id: str) -> None:
        """Notes that the application uses these entries; they need not be there yet."""
        nonce = secrets.token_hex(8)
        paths = [f"{self.folder}/{digest}.{app_id}.{nonce}" for digest in sorted(set(digests))]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda path: self.hdfs.mkdirs(path, self.permission), paths))

    def all(self) -> list[Lease]:
        """Every lease, those of ended applications included."""
        found = ((_NAME.fullmatch(status.name), status) for status in self.hdfs.list(self.folder))
        return [Lease(match[1], match[2], status.modified, status.owner, match[0]) for match, status in found if match]

    def drop(self, lease: Lease) -> None:
        """Removes one."""
        self.hdfs.delete(f"{self.folder}/{lease.name}", recursive=True)


def entry_of(path: str) -> tuple[str, str] | None:
    """(folder that holds the cache, digest) of the entry that a file on HDFS belongs to; None: it lies in no cache."""
    found = _ENTRY.fullmatch(path)
    return (found[1], found[2]) if found else None


def announcements(base: str) -> str:
    """The folder of a cache in which prunings say what they are about to remove."""
    return f"{base}/pruning"


def announcement(base: str, digest: str) -> str:
    """A name for a new one."""
    return f"{announcements(base)}/{digest}.{secrets.token_hex(8)}"


def withdraw(hdfs: WebHdfs, base: str, digests: Iterable[str]) -> None:
    """Call off the removal of entries that prunings have announced. After leases were taken, before the entries are
    looked at.

    Raises:
        StagingError: another user is removing one of them, and cannot be held back.
    """
    wanted = set(digests)
    for status in hdfs.list(announcements(base)):
        digest = status.name.partition(".")[0]
        if digest not in wanted:
            continue
        try:
            hdfs.delete(status.path, recursive=True)
        except NotAuthorized:  # another user's: what is in it may not be deleted, and need not be
            if not hdfs.list(status.path) and hdfs.status(status.path) is not None:
                raise StagingError(
                    f"{base}/cache/{digest} is being removed by {status.owner} at this moment: launch again. If this "
                    f"goes on: hdfs dfs -rm -r {status.path}; hdfs dfs -chmod 777 {posixpath.dirname(status.path)}"
                ) from None


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
    if lease.app_id == PUSHED:
        return True
    try:
        return not state_of(lease.app_id).ended
    except ApplicationNotFound:
        return True  # within the grace period: a launch under way, or one that the ResourceManager has forgotten


__all__ = ["GRACE", "PUSHED", "Lease", "Leases", "announcement", "announcements", "entry_of", "holds", "withdraw"]
