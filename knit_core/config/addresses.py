"""Addresses of ResourceManagers and NameNodes in a Hadoop configuration. Pure: from properties to base URLs."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from knit_core.config.hadoop_conf import HadoopConf

_UNSET_HOSTS = {"0.0.0.0", "", "::", "[::]"}
_FILESYSTEM = "fs.defaultFS"
_PORT = re.compile(r":\d*$")


def resourcemanagers(conf: HadoopConf) -> tuple[list[str], str]:
    """Web addresses of the ResourceManagers and the property that sets them; ([], "") when the configuration names none.

    Hadoop's default host 0.0.0.0 means "not configured", not localhost.
    """
    https = conf.get("yarn.http.policy") == "HTTPS_ONLY"
    scheme, kind, port = ("https", "webapp.https.address", 8090) if https else ("http", "webapp.address", 8088)
    if conf.boolean("yarn.resourcemanager.ha.enabled"):
        suffixes = ["." + name for name in _names(conf.get("yarn.resourcemanager.ha.rm-ids"))]
    else:
        suffixes = [""]
    found, property_name = [], ""
    for suffix in suffixes:
        name = f"yarn.resourcemanager.{kind}{suffix}"
        value, host_name = conf.get(name), f"yarn.resourcemanager.hostname{suffix}"
        host, _, given_port = (value or "").rpartition(":") if value and ":" in value else (value or "", "", "")
        if host in _UNSET_HOSTS or "$" in host:
            host, name = conf.get(host_name) or "", host_name
        if host in _UNSET_HOSTS or "$" in host:
            continue
        found.append(f"{scheme}://{host}:{given_port or port}")
        property_name = property_name or name
    return found, property_name


def namenodes(conf: HadoopConf, filesystem: str = "", *, https: bool | None = None) -> tuple[list[str], str]:
    """WebHDFS addresses of a filesystem's NameNodes and the property that sets them; ([], "") when none does.

    Where only the filesystem's name is known, the address is its host with Hadoop's default web port, and the property is
    fs.defaultFS.

    Args:
        conf: the configuration.
        filesystem: Hadoop URL (`hdfs://ns`); empty: fs.defaultFS.
        https: which addresses; None: as dfs.http.policy says.
    """
    default = conf.get("fs.defaultFS") or ""
    url = urlsplit(filesystem or default)
    if url.scheme not in {"hdfs", "webhdfs", "swebhdfs"}:
        return [], ""
    if url.scheme != "hdfs":
        scheme = "https" if url.scheme == "swebhdfs" else "http"
        return [f"{scheme}://{url.netloc}"], _FILESYSTEM
    if https is None:
        https = https_only(conf)
    scheme, kind, port = ("https", "https-address", 9871) if https else ("http", "http-address", 9870)
    service = _name(url)
    nodes = _names(conf.get(f"dfs.ha.namenodes.{service}"))
    if not nodes and conf.get(f"dfs.namenode.{kind}.{service}"):
        return [f"{scheme}://{conf.get(f'dfs.namenode.{kind}.{service}')}"], f"dfs.namenode.{kind}.{service}"
    if not nodes and not _describes(conf, filesystem or default):
        return [f"{scheme}://{service}:{port}"], _FILESYSTEM  # the other properties describe the default filesystem
    found, property_name = [], ""
    for suffix in [f".{service}.{node}" for node in nodes] or [""]:
        name = f"dfs.namenode.{kind}{suffix}"
        host, _, given_port = (conf.get(name) or "").rpartition(":")
        if host in _UNSET_HOSTS or "$" in host:
            if suffix:
                continue
            host, name = service, _FILESYSTEM
        found.append(f"{scheme}://{host}:{given_port or port}")
        property_name = property_name or name
    return found, property_name


def _describes(conf: HadoopConf, filesystem: str) -> bool:
    """Whether the properties of a single NameNode are those of this filesystem's."""
    address = conf.get("dfs.namenode.rpc-address")
    known = [conf.get(_FILESYSTEM) or "", *([f"hdfs://{address}"] if address else [])]
    return any(same_filesystem(filesystem, each) for each in known)


def https_only(conf: HadoopConf) -> bool:
    """Whether NameNodes serve https only."""
    return conf.get("dfs.http.policy") == "HTTPS_ONLY"


def nameservices(conf: HadoopConf) -> list[str]:
    """Hadoop URLs of the nameservices that have several NameNodes: the default filesystem's first."""
    default = urlsplit(conf.get("fs.defaultFS") or "")
    names = [*([_name(default)] if default.scheme == "hdfs" else []), *_names(conf.get("dfs.nameservices"))]
    return [f"hdfs://{name}" for name in dict.fromkeys(names) if len(_names(conf.get(f"dfs.ha.namenodes.{name}"))) > 1]


def same_filesystem(one: str, other: str) -> bool:
    """Whether two Hadoop URLs name one filesystem: the host's case and Hadoop's default port make no difference."""
    return _authority(one) == _authority(other)


def _authority(filesystem: str) -> tuple[str, str, int]:
    url = urlsplit(filesystem)
    try:
        return url.scheme, url.hostname or "", url.port or 8020
    except ValueError:
        return url.scheme, url.netloc, 0


def same_server(one: str, other: str) -> bool:
    """Whether two addresses name one server: with the same port, and the same host, one of them perhaps without its domain."""
    (first, first_port), (second, second_port) = _host_and_port(one), _host_and_port(other)
    if first_port != second_port or not first or not second:
        return False
    short = "." not in first or "." not in second
    return first == second or (short and first.partition(".")[0] == second.partition(".")[0])


def _host_and_port(url: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None


def nameservice(conf: HadoopConf) -> str:
    """The name in fs.defaultFS when it has no port: it may be a nameservice (several NameNodes under one name).

    Empty: it is a host.
    """
    return nameservice_of(conf.get(_FILESYSTEM) or "")


def nameservice_of(url: str) -> str:
    """The name in a Hadoop URL without a port; empty where it has one, or is of no HDFS."""
    try:
        filesystem = urlsplit(url)
        return _name(filesystem) if filesystem.scheme == "hdfs" and filesystem.port is None else ""
    except ValueError:
        return ""


def _name(url: SplitResult) -> str:
    """The host or nameservice of a Hadoop URL, as it is written: the names of properties contain it."""
    return _PORT.sub("", url.netloc.rpartition("@")[2])


def _names(value: str | None) -> list[str]:
    return [name.strip() for name in (value or "").split(",") if name.strip()]
