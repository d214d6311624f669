"""The HDFS of a cluster whose default filesystem is another one: a viewfs of mounted HDFS, or an object store. Pure.

Mount tables are read as org.apache.hadoop.fs.viewfs.ViewFileSystem does: `fs.viewfs.mounttable.<table>.link.<path>`,
`linkMergeSlash` for all, `linkFallback` for what no link has.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from knit_core.config.hadoop_conf import HadoopConf

_TABLE = "fs.viewfs.mounttable"
_DEFAULT_TABLE = "default"
_HOMES = "/user"


class Place(NamedTuple):
    """A folder of a filesystem.

    Attributes:
        filesystem: Hadoop URL without a path; empty when no mount has the path.
        path: within it.
        mounted: whether a mount table says so.
        property: what sets it.
    """

    filesystem: str
    path: str
    mounted: bool
    property: str = ""


def hdfs_of(conf: HadoopConf) -> tuple[str, str]:
    """The HDFS for files of a launch, and the property that names it; ("", "") when there is none.

    fs.defaultFS if it is an HDFS; else the one with the users' home folders in the mount table; else the first nameservice,
    or the only NameNode.
    """
    default = conf.get("fs.defaultFS") or ""
    if urlsplit(default).scheme == "hdfs":
        return default.rstrip("/"), "fs.defaultFS"
    homes = resolve(conf, _HOMES)
    if homes.filesystem.startswith("hdfs://"):
        return homes.filesystem, homes.property
    if urlsplit(default).scheme in {"webhdfs", "swebhdfs"}:
        return "", ""  # its address is that of a NameNode's web server
    services = [name for name in (conf.get("dfs.nameservices") or "").split(",") if name.strip()]
    if services:
        return f"hdfs://{services[0].strip()}", "dfs.nameservices"
    address = conf.get("dfs.namenode.rpc-address") or ""
    return (f"hdfs://{address}", "dfs.namenode.rpc-address") if address and "$" not in address else ("", "")


def resolve(conf: HadoopConf, path: str) -> Place:
    """Where a path, or a Hadoop URL, is: through the mount table if it is in a viewfs."""
    parts = urlsplit(path)
    base = urlsplit(path if parts.scheme else conf.get("fs.defaultFS") or "")
    filesystem = f"{base.scheme}://{base.netloc}" if base.scheme else ""
    if base.scheme != "viewfs":
        return Place(filesystem, parts.path, mounted=False, property="fs.defaultFS")
    table = f"{_TABLE}.{base.netloc or _DEFAULT_TABLE}"
    everything = next((name for name in (f"{table}.linkMergeSlash", f"{table}.linkFallback") if conf.get(name)), "")
    link = f"{table}.link."
    mounts = {"/": everything} if everything else {}
    mounts |= {name.removeprefix(link).rstrip("/") or "/": name for name in conf.properties if name.startswith(link)}
    for mount in sorted(mounts, key=len, reverse=True):
        if parts.path == mount or parts.path.startswith(f"{mount.rstrip('/')}/"):
            target = urlsplit(conf.get(mounts[mount]) or "")
            below = parts.path[len(mount.rstrip("/")) :]
            return Place(f"{target.scheme}://{target.netloc}", target.path.rstrip("/") + below, True, mounts[mount])
    return Place("", parts.path, mounted=True)


__all__ = ["Place", "hdfs_of", "resolve"]
