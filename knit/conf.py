"""`knit.conf` of knit 0.2.4: Hadoop's XML as one dictionary. `Knit` itself uses `knit.configuration`."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

from knit.notices import warn_ignored
from knit.refusals import refusing
from knit_core.config.hadoop_conf import folders, read_folder

__getattr__ = refusing(__name__)


def current_user() -> str:
    """The name of the operating system's user; empty when it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


DEFAULTS: dict[str, Any] = {
    "rm": "localhost",
    "rm_port": 8088,
    "rm_port_https": 8090,
    "replication_factor": 3,
    "user": current_user(),
}


def get_host_port(addr: str) -> tuple[str, int | None]:
    """Host and port of `host:port`, `host` or a URL."""
    parts = urlsplit(addr if "://" in addr else f"//{addr}")
    return parts.hostname or addr, parts.port


def infer_extra_params(config: Mapping[str, Any]) -> dict[str, Any]:
    """user, replication_factor, rm, rm_port and rm_port_https, from Hadoop's properties where they have them."""
    found = {**DEFAULTS, "user": current_user()}
    found["replication_factor"] = config.get("dfs.replication", DEFAULTS["replication_factor"])
    if "yarn.resourcemanager.webapp.address" in config:
        found["rm"], found["rm_port"] = get_host_port(config["yarn.resourcemanager.webapp.address"])
    else:
        found["rm"] = config.get("yarn.resourcemanager.hostname", DEFAULTS["rm"])
    if "yarn.resourcemanager.webapp.https.address" in config:
        found["rm_port_https"] = get_host_port(config["yarn.resourcemanager.webapp.https.address"])[1]
    return found


def config_to_dict(fname: str) -> dict[str, str]:
    """The properties of one of Hadoop's XML files."""
    rows = ElementTree.parse(fname).getroot().iter("property")
    return {row.findtext("name", "").strip(): row.findtext("value", "").strip() for row in rows}


def environment() -> dict[str, str]:
    """The process's variables; hdfs3's LIBHDFS3_CONF names the folder with its file, as in knit 0.2.4."""
    found = dict(os.environ)
    if found.pop("KNIT_HOME", None):
        warn_ignored("KNIT_HOME", "there is no jar to name")
    if found.get("LIBHDFS3_CONF"):
        found["HADOOP_CONF_DIR"] = str(Path(found["LIBHDFS3_CONF"]).parent)
    return found


def find_config_files() -> dict[str, str]:
    """Paths of core-site.xml and yarn-site.xml by "core" and "yarn".

    Raises:
        ValueError: no folder has both.
    """
    searched = []
    for folder, _ in folders(environment()):
        paths = {name: str(folder / f"{name}-site.xml") for name in ("yarn", "core")}
        if all(Path(path).exists() for path in paths.values()):
            return paths
        searched.append(str(folder))
    raise ValueError(f"No folder has core-site.xml and yarn-site.xml. Searched: {', '.join(searched)}")


def load_config() -> dict[str, Any]:
    """Hadoop's properties and `infer_extra_params` of them; without files the defaults."""
    environ = environment()
    for folder, why in folders(environ):
        found = read_folder(folder, why, environ)
        if found is not None:
            properties = {name: found.get(name) for name in found.properties}
            return {**properties, **infer_extra_params(properties)}
    return dict(DEFAULTS)


def get_config(autodetect: bool = True, pars: Mapping[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    """The files' values, unless `autodetect` is False; `pars` override them, and keywords override both."""
    return {**(load_config() if autodetect else {}), **(pars or {}), **kwargs}


def reset_config_cache() -> None:
    """Without effect: the files are read at each call."""
