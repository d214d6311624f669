"""Checks the owner and mode of a staging folder. Its key signs calls and its files are executed: only its user may write."""

from __future__ import annotations

import posixpath

from knit_core.errors import StagingError
from knit_core.hadoop.webhdfs import WebHdfs
from knit_core.model.cluster_facts import FileStatus

KEY = "key"
_OTHERS, _OTHERS_WRITE = 0o077, 0o022


def check_staging(hdfs: WebHdfs, folder: str) -> bool:
    """Check a staging folder, its direct entries, and the key.

    Returns:
        False when there is no such folder.

    Raises:
        StagingError: an entry belongs to another user or may be written by other users; the message has the command
            for the remedy.
    """
    found = hdfs.status(folder)
    if found is None:
        return False
    if not found.folder:
        raise StagingError(f"{folder} on HDFS is a file, but Knit needs a folder (KNIT_STAGING sets another path)")
    _check_owner(hdfs, found, " or set KNIT_STAGING to a folder of your own")
    _check_mode(found, _OTHERS, "700")
    for each in hdfs.list(folder):
        if each.name == KEY and each.folder:
            raise StagingError(f"{each.path} on HDFS is a folder where a file belongs: delete it")
        if each.link:
            raise StagingError(f"{each.path} on HDFS is a symbolic link, which Knit does not follow there: delete it")
        _check_owner(hdfs, each, f" or delete it (hdfs dfs -rm -r {each.path})")
        _check_mode(each, _OTHERS if each.name == KEY else _OTHERS_WRITE, "600" if each.name == KEY else "700")
    return True


def _check_owner(hdfs: WebHdfs, status: FileStatus, otherwise: str) -> None:
    if is_mine(hdfs, status.owner):
        return
    raise StagingError(
        f"{status.path} on HDFS belongs to {status.owner}, not to {hdfs.user}: {status.owner} could read and change Knit's "
        f"files there, including the key that signs calls. As HDFS's superuser: hdfs dfs -chown -R {hdfs.user} {status.path};"
        f"{otherwise}"
    )


def _check_mode(status: FileStatus, forbidden: int, right: str) -> None:
    if int(status.permission or "0", 8) & forbidden:
        raise StagingError(
            f"{status.path} on HDFS has mode {status.permission}: other users could read or change Knit's files there. "
            f"Remedy: hdfs dfs -chmod {right} {status.path}"
        )


def is_mine(hdfs: WebHdfs, owner: str) -> bool:
    """Whether `owner` is the user of `hdfs`.

    HDFS maps logins (`alice@REALM`, `DOMAIN\\\\alice`) to short names by rules of the cluster. When the names differ, the
    owner is compared with the name of the home folder, which HDFS derives from the user.
    """
    if owner == hdfs.user:
        return True
    return _short(owner) == posixpath.basename(hdfs.home().rstrip("/"))


def _short(name: str) -> str:
    """The owner's name without the realm or domain that some filesystems report."""
    return name.rpartition("\\")[2].partition("@")[0].partition("/")[0]


__all__ = ["KEY", "check_staging", "is_mine"]
