"""The folders of an application's aggregated logs on HDFS, and the meaning of their file names. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from knit_core.errors import ConfigError, LogsUnavailable
from knit_core.logs.aggregated.ifile import CHECKSUM
from knit_core.model.cluster_facts import FileStatus
from knit_core.model.ids import ApplicationId

FORMATS = ("TFile", "IFile")
_TEMPORARY = ".tmp"
_NAME = re.compile(
    r"(.+)_(\d{1,5})(?:_(\d{13,}))?"
)  # host, port and, with rolling aggregation, the time of the upload (ms)


class NodeFile(NamedTuple):
    """A file with the logs of one node.

    Attributes:
        path, size: on HDFS; bytes.
        node: `<host>_<port>` of the NodeManager.
        time: ms since the epoch; it orders the files of one node.
        rolled: whether the node may have further files.
    """

    path: str
    size: int
    node: str
    time: int
    rolled: bool = False

    @property
    def host(self) -> str:
        """The node's host name."""
        return self.node.rpartition("_")[0] or self.node


class Listing(NamedTuple):
    """The files: complete ones by node, paths of checksum files by node, and nodes with an unfinished upload."""

    files: dict[str, list[NodeFile]]
    checksums: dict[str, str]
    uploading: frozenset[str]


def folders(setting: Callable[[str, str], str], on_hdfs: Callable[[str], str], app_id: str, user: str) -> list[str]:
    """Folders that may contain the application's logs, the most likely first.

    Several formats may be configured; nodes may use one that is not in the ResourceManager's configuration; Hadoop before
    3.3 has no buckets.

    Args:
        setting: a property of the cluster by name, with a default.
        on_hdfs: returns the path on HDFS of a Hadoop URL; raises ConfigError for one of another filesystem.
        app_id: the application's id.
        user: its owner.

    Raises:
        LogsUnavailable: the logs are not on HDFS.
    """
    app = ApplicationId.parse(app_id)
    root = setting("yarn.nodemanager.remote-app-log-dir", "/tmp/logs")
    plain = setting("yarn.nodemanager.remote-app-log-dir-suffix", "logs")
    configured = [name.strip() for name in setting("yarn.log-aggregation.file-formats", "").split(",")]
    found: list[str] = []
    for name in dict.fromkeys([*filter(None, configured), *FORMATS]):
        own = setting(f"yarn.log-aggregation.{name}.remote-app-log-dir", root)
        suffix = setting(f"yarn.log-aggregation.{name}.remote-app-log-dir-suffix", f"{plain}-{name.lower()}")
        base = f"{_path(own, on_hdfs)}/{user}"
        found += [f"{base}/bucket-{suffix}/{app.number % 10000:04d}/{app}", f"{base}/{suffix}/{app}"]
    found.append(f"{_path(root, on_hdfs)}/{user}/{plain}/{app}")
    return list(dict.fromkeys(found))


def _path(url: str, on_hdfs: Callable[[str], str]) -> str:
    try:
        return on_hdfs(url).rstrip("/")
    except ConfigError as error:
        raise LogsUnavailable(
            f"The aggregated logs are not on HDFS, so Knit cannot read them: {error}", reason="unreachable"
        ) from None


def listing(app_id: str, entries: Iterable[FileStatus]) -> Listing:
    """Classify the entries of the folders.

    Raises:
        LogsUnavailable: the logs are in a Hadoop archive.
    """
    files: dict[str, list[NodeFile]] = {}
    checksums: dict[str, str] = {}
    uploading = set()
    for entry in entries:
        name = entry.name
        if name == f"{app_id}.har":
            raise LogsUnavailable(
                f"{entry.path} on HDFS is a Hadoop archive: Knit cannot read logs from it", reason="damaged"
            )
        if name.endswith(_TEMPORARY):
            uploading.add(name.removesuffix(_TEMPORARY))
        elif name.endswith(CHECKSUM):
            checksums[name.removesuffix(CHECKSUM)] = entry.path
        elif not entry.folder:
            found = _NAME.fullmatch(name)
            node, stamp = (f"{found[1]}_{found[2]}", found[3]) if found else (name, None)
            files.setdefault(node, []).append(
                NodeFile(entry.path, entry.size, node, int(stamp or entry.modified), bool(stamp))
            )
    for each in files.values():
        each.sort(key=lambda file: (file.time, file.path))
    return Listing(files, checksums, frozenset(uploading))
