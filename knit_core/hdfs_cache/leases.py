"""Leases: which application uses which entry of a cache on HDFS, written before the launch relies on the entry.

`<root>/leases/<sha256>.<application id>.<nonce>` is an empty folder. One request creates it, and the request may be
repeated; its owner is the user, its modification time is the time of the lease. One listing returns all leases. Each
launch takes a new lease: a launch that is repeated weeks later counts from then, and no pruning removes a lease that it
has not read. An entry that was pushed before a launch has a lease with `push` in place of the application id.

A launch and a pruning are safe at the same time. The pruning

1. announces the removal by an empty folder `<base>/pruning/<sha256>.<nonce>`,
2. reads the leases,
3. moves the entry into that folder, by one rename that is never repeated.

The launch

1. writes its lease,
2. deletes the announcements for its entries,
3. checks whether the entries are there.

If the announcement is written after the lease, the pruning reads the lease. If it is written before, the launch deletes
it: a later rename into it fails, even one that reaches the NameNode late; after an earlier rename the launch does not find
the entry and uploads it. This needs no clock and no waiting, so a slow process cannot break it.
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

#: Seconds for which a lease is valid if the ResourceManager does not know its application (not submitted yet, or forgotten).
GRACE = 7 * 86400.0
#: In a lease of a pushed entry: takes the place of the application id.
PUSHED = "push"

_NAME = re.compile(rf"([0-9a-f]{{64}})\.(application_\d+_\d+|{PUSHED})(?:\.[0-9a-f]+)?")
_ENTRY = re.compile(r"(/.+)/cache/([0-9a-f]{64})/[^/]+")
_PARALLEL = 6


@dataclass(frozen=True)
class Lease:
    """One application's use of one entry; `at` is in ms since the epoch, `name` is the name of its folder."""

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
        """Write leases of the application for these entries, which may not exist yet."""
        nonce = secrets.token_hex(8)
        paths = [f"{self.folder}/{digest}.{app_id}.{nonce}" for digest in sorted(set(digests))]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(lambda path: self.hdfs.mkdirs(path, self.permission), paths))

    def all(self) -> list[Lease]:
        """All leases, including those of ended applications."""
        found = ((_NAME.fullmatch(status.name), status) for status in self.hdfs.list(self.folder))
        return [Lease(match[1], match[2], status.modified, status.owner, match[0]) for match, status in found if match]

    def drop(self, lease: Lease) -> None:
        """Delete a lease."""
        self.hdfs.delete(f"{self.folder}/{lease.name}", recursive=True)


def entry_of(path: str) -> tuple[str, str] | None:
    """The folder with the cache, and the digest, of the entry of a file on HDFS; None when it is in no cache."""
    found = _ENTRY.fullmatch(path)
    return (found[1], found[2]) if found else None


def announcements(base: str) -> str:
    """The folder of a cache in which prunings announce removals."""
    return f"{base}/pruning"


def announcement(base: str, digest: str) -> str:
    """The path of a new announcement."""
    return f"{announcements(base)}/{digest}.{secrets.token_hex(8)}"


def withdraw(hdfs: WebHdfs, base: str, digests: Iterable[str]) -> None:
    """Delete announcements of prunings for these entries. Call it after taking leases and before checking the entries.

    Raises:
        StagingError: another user is removing an entry, and this user may not delete the announcement.
    """
    wanted = set(digests)
    for status in hdfs.list(announcements(base)):
        digest = status.name.partition(".")[0]
        if digest not in wanted:
            continue
        try:
            hdfs.delete(status.path, recursive=True)
        except NotAuthorized:  # another user's, with an entry in it: the folder alone matters
            if not hdfs.list(status.path) and hdfs.status(status.path) is not None:
                raise StagingError(
                    f"{base}/cache/{digest} is being removed by {status.owner} now: launch again. If this error "
                    f"persists: hdfs dfs -rm -r {status.path}; hdfs dfs -chmod 777 {posixpath.dirname(status.path)}"
                ) from None


def is_valid(lease: Lease, living: set[str], state_of: Callable[[str], State], now: float) -> bool:
    """Whether a lease is valid.

    Args:
        lease: the lease.
        living: ids of the applications that have not ended.
        state_of: queries the state of one application; raises ApplicationNotFound.
        now: ms since the epoch.
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
        return True  # within GRACE: not submitted yet, or forgotten by the ResourceManager


__all__ = ["GRACE", "PUSHED", "Lease", "Leases", "announcement", "announcements", "entry_of", "is_valid", "withdraw"]
