"""Maps the configuration keys of knit 0.2.4 to knit_core's settings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from knit.exceptions import KnitException

DEFAULTS: Mapping[str, Any] = {
    "rm_port": 8088,
    "rm_port_https": 8090,
    "nn_port": 8020,
    "replication_factor": 3,
    "lang": "C.UTF-8",
}
_ANONYMOUS = "hadoop.http.authentication.simple.anonymous.allowed"
_HADOOP = {
    "fs.defaultFS": "filesystem",
    "fs.default.name": "filesystem",
    "yarn.resourcemanager.webapp.address": "resourcemanager",
    "yarn.resourcemanager.webapp.https.address": "resourcemanager",
    "dfs.namenode.http-address": "namenode",
}


def merged(pars: Mapping[str, Any] | None, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration: keyword arguments override `pars`, which override the defaults. `pars` may have raw Hadoop keys.

    Raises:
        KnitException: the cluster requires a password, and there is none.
    """
    conf = {**DEFAULTS, **(pars or {}), **keywords}
    if str(conf.get(_ANONYMOUS, "true")).lower() == "false" and not conf.get("password"):
        raise KnitException(
            f"{_ANONYMOUS} is false: the cluster's web services accept no anonymous callers. Give password= (and user=)"
        )
    return conf


def settings(conf: Mapping[str, Any], hdfs_home: str | None) -> dict[str, Any]:
    """Options for `knit_core.Knit`: only the given ones; knit_core finds the others itself."""
    found: dict[str, Any] = {}
    for key, name in _HADOOP.items():
        if conf.get(key):
            value = str(conf[key])
            https = key.endswith("https.address") and "://" not in value
            found[name] = f"https://{value}" if https else value
    if conf.get("rm"):
        found["resourcemanager"] = address(conf["rm"], conf["rm_port"], conf.get("scheme", "http"))
    if conf.get("nn"):
        found["namenode"] = address(conf["nn"], conf.get("nn_http_port", 9870))
        found.setdefault("filesystem", f"hdfs://{conf['nn']}:{conf['nn_port']}")
    for name in ("password", "gateway_path"):
        if conf.get(name):
            found[name] = conf[name]
    if conf.get("password"):
        found["auth"] = "basic"
    if conf.get("replication_factor") != DEFAULTS["replication_factor"]:
        found["replication"] = conf["replication_factor"]
    if hdfs_home:
        found["staging"] = f"{hdfs_home.rstrip('/')}/.knit"
    return found


def address(host: str, port: Any, scheme: str = "http") -> str:
    """A web address."""
    return host if "://" in host else f"{scheme}://{host}:{port}"
