"""Addresses of ResourceManagers and NameNodes in a Hadoop configuration. Pure: from properties to base URLs."""

from __future__ import annotations

from urllib.parse import urlsplit

from knit_core.config.hadoop_conf import HadoopConf

_UNSET_HOSTS = {"0.0.0.0", "", "::", "[::]"}


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


def namenodes(conf: HadoopConf) -> tuple[list[str], str]:
    """WebHDFS addresses of the default filesystem's NameNodes and the property that sets them.

    When only fs.defaultFS is set, the address is its host with Hadoop's default web port.
    """
    filesystem = urlsplit(conf.get("fs.defaultFS") or "")
    if filesystem.scheme not in {"hdfs", "webhdfs", "swebhdfs"}:
        return [], ""
    if filesystem.scheme != "hdfs":
        scheme = "https" if filesystem.scheme == "swebhdfs" else "http"
        return [f"{scheme}://{filesystem.netloc}"], "fs.defaultFS"
    https = conf.get("dfs.http.policy") == "HTTPS_ONLY"
    scheme, kind, port = ("https", "https-address", 9871) if https else ("http", "http-address", 9870)
    service = filesystem.hostname or ""
    nodes = _names(conf.get(f"dfs.ha.namenodes.{service}"))
    if not nodes and conf.get(f"dfs.namenode.{kind}.{service}"):
        return [f"{scheme}://{conf.get(f'dfs.namenode.{kind}.{service}')}"], f"dfs.namenode.{kind}.{service}"
    found, property_name = [], ""
    for suffix in [f".{service}.{node}" for node in nodes] or [""]:
        name = f"dfs.namenode.{kind}{suffix}"
        host, _, given_port = (conf.get(name) or "").rpartition(":")
        if host in _UNSET_HOSTS:
            if suffix:
                continue
            host, name = service, "fs.defaultFS"
        found.append(f"{scheme}://{host}:{given_port or port}")
        property_name = property_name or name
    return found, property_name


def nameservice(conf: HadoopConf) -> str:
    """The name in fs.defaultFS when it has no port: it may be a nameservice (several NameNodes under one name).

    Empty: it is a host.
    """
    try:
        filesystem = urlsplit(conf.get("fs.defaultFS") or "")
        return (filesystem.hostname or "") if filesystem.scheme == "hdfs" and filesystem.port is None else ""
    except ValueError:
        return ""


def _names(value: str | None) -> list[str]:
    return [name.strip() for name in (value or "").split(",") if name.strip()]
