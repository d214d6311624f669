"""Maps the configuration of knit 0.2.4 (`pars`, keywords, Hadoop's files) to knit_core's. No request is sent here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from knit.conf import environment
from knit.exceptions import HDFSConfigException, KnitException, translated
from knit.namenode import Hint
from knit.notices import warn_ignored
from knit_core.config import SETTINGS, Config, HadoopConf, addresses, load_config
from knit_core.errors import NoClusterFound

DEFAULTS: Mapping[str, Any] = {"rm_port": 8088, "rm_port_https": 8090, "replication_factor": 3, "lang": "C.UTF-8"}
OWN = ("nn", "nn_port", "nn_http_port", "rm", "rm_port", "rm_port_https", "scheme", "user", "replication_factor", "lang",
       "password", "gateway_path")  # fmt: skip
_PORTS = ("nn_port", "nn_http_port", "rm_port", "rm_port_https", "replication_factor")
_ANONYMOUS = "hadoop.http.authentication.simple.anonymous.allowed"
_AUTHENTICATION = "hadoop.http.authentication.type"
_HOME = "dfs.user.home.base.dir"
_FILESYSTEMS = ("fs.defaultFS", "fs.default.name")
#: Variables by which knit_core is configured; `autodetect=False` reads none of them.
_DETECTION = ("HADOOP_CONF_DIR", "YARN_CONF_DIR", "HADOOP_HOME", "HADOOP_INSTALL")


@dataclass(frozen=True)
class Settings:
    """What `Knit` of 0.2.4 was given.

    Attributes:
        own: settings of knit 0.2.4.
        raw: Hadoop's properties.
        core: settings of knit_core.
    """

    own: Mapping[str, Any]
    raw: Mapping[str, str]
    core: Mapping[str, Any]

    @classmethod
    def of(cls, pars: Mapping[str, Any] | None, keywords: Mapping[str, Any]) -> Settings:
        """From `pars` and keywords, which override them. Warns of names that mean nothing.

        Raises:
            KnitException: a port is not a number.
        """
        given = {key: value for key, value in {**(pars or {}), **keywords}.items() if value is not None}
        own = {key: given.pop(key) for key in OWN if key in given}
        for key in _PORTS:
            if key in own:
                own[key] = _number(key, own[key])
        raw = {key: _text(given.pop(key)) for key in list(given) if "." in key}
        core = {key: given.pop(key) for key in list(given) if key in SETTINGS}
        for key in given:
            near = difflib.get_close_matches(key, OWN, 1)
            warn_ignored(
                key, f"did you mean {near[0]}?" if near else "it is neither a setting of Knit nor one of Hadoop"
            )
        return cls(own, raw, core)


def _number(key: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise KnitException(f"{key} is a number, not {value!r}") from None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def connection(given: Settings, autodetect: bool, hdfs_home: str | None) -> tuple[Config, dict[str, Any]]:
    """knit_core's configuration, and the dictionary `Knit.conf`.

    Args:
        given: what was given.
        autodetect: whether files and variables are read.
        hdfs_home: folder on HDFS below which Knit keeps its files.

    Raises:
        HDFSConfigException: no ResourceManager is known; the message lists the places that were searched.
        KnitException: the cluster's web services accept no anonymous callers, and there is no password.
    """
    environ = environment() if autodetect else _without_detection(environment())
    options = _options(given, hdfs_home)
    missing: NoClusterFound | None = None
    with translated():
        try:
            found: Config | None = load_config(None, options, environ, local=autodetect and "rm" not in given.own)
        except NoClusterFound as error:
            found, missing = None, error
        if found is not None and not autodetect:
            found.hadoop = None
        overlay = _overlay(found, given.raw, environ)
        urls = resourcemanagers(given, overlay, found)
        if not urls and missing is not None:
            more = " rm_port needs rm." if "rm_port" in given.own else ""
            raise HDFSConfigException(f"{missing}{more}") from missing
        config = load_config(",".join(urls), options, environ, local=False) if urls else found
        assert config is not None
        if not autodetect:
            config.hadoop = None
        if given.raw:
            config.hadoop = _overlay(config, given.raw, environ)
    conf = _conf(given, config)
    kerberos = str(conf.get(_AUTHENTICATION, "")).lower() == "kerberos"
    if not kerberos and str(conf.get(_ANONYMOUS, "true")).lower() == "false" and not conf.get("password"):
        raise KnitException(
            f"{_ANONYMOUS} is false: the cluster's web services accept no anonymous callers. Give password= (and user=)"
        )
    return config, conf


def resourcemanagers(given: Settings, overlay: HadoopConf, found: Config | None) -> list[str]:
    """The ResourceManagers' addresses that were given; empty when none was, and the detected ones serve.

    What is given replaces that part only: `rm_port` alone keeps the detected host. The port of another host comes from Hadoop's
    files, as in knit 0.2.4.
    """
    own = given.own
    by_property = any(key.startswith(("yarn.resourcemanager.", "yarn.http.policy")) for key in given.raw)
    if not by_property and not any(key in own for key in ("rm", "rm_port", "rm_port_https", "scheme")):
        return []
    detected = found.settings["resourcemanager"] if found else None
    urls = [*(addresses.resourcemanagers(overlay)[0] if by_property else ())]
    from_files = bool(urls) or (detected is not None and detected.source.startswith("yarn."))
    urls = urls or (detected.value.split(",") if detected else [])
    https = (overlay.get("yarn.http.policy") or "").upper() == "HTTPS_ONLY"
    scheme = own.get("scheme") or ("https" if https else "")
    host, port = _host(own.get("rm"))
    if "://" in host:
        return [host]
    if host:
        same = [url for url in urls if from_files or urlsplit(url).hostname == host]
        urls = same[:1] or [f"{scheme or 'http'}://{host}"]
    return [_replaced(url, scheme, host, port, own) for url in urls]


def _host(rm: Any) -> tuple[str, int | None]:
    """Host and port of `rm`, which may be `host:port`, or a whole address."""
    text = str(rm or "")
    if "://" in text or text.count(":") != 1:
        return text, None
    host, _, port = text.partition(":")
    return host, _number("rm", port)


def _replaced(url: str, scheme: str, host: str, port: int | None, own: Mapping[str, Any]) -> str:
    parts = urlsplit(url)
    scheme = scheme or parts.scheme
    given = own.get("rm_port_https") if scheme == "https" else None
    if given is None and (scheme == "http" or "scheme" in own or "gateway_path" in own):
        given = own.get("rm_port")
    known = parts.port if parts.scheme == scheme else None
    default = DEFAULTS["rm_port_https" if scheme == "https" else "rm_port"]
    return f"{scheme}://{host or parts.hostname}:{given or port or known or default}"


def hint(given: Settings) -> Hint | None:
    """What was given about the NameNode; None: nothing."""
    own, raw = given.own, given.raw
    host, port = own.get("nn"), own.get("nn_port")
    for key in _FILESYSTEMS:
        url = urlsplit(raw.get(key, ""))
        if host is None and url.scheme == "hdfs":
            host, port = url.hostname, port or url.port
    if host is None and port is None:
        return None
    return Hint(str(host or ""), port, own.get("nn_http_port"))


def address(host: str, port: Any, scheme: str = "http") -> str:
    """A web address."""
    return host if "://" in host else f"{scheme}://{host}:{port}"


def _options(given: Settings, hdfs_home: str | None) -> dict[str, Any]:
    """knit_core's settings, but for addresses."""
    own, home = given.own, hdfs_home or given.raw.get(_HOME)
    options = dict(given.core)
    for name, key in (("user", "user"), ("password", "password"), ("gateway_path", "gateway_path"),
                      ("replication_factor", "replication")):  # fmt: skip
        if own.get(name):
            options[key] = own[name]
    if own.get("password"):
        options.setdefault("auth", "basic")
    elif given.raw.get(_AUTHENTICATION, "").lower() == "kerberos":
        options.setdefault("auth", "kerberos")
    if home:
        options["staging"] = f"{home.rstrip('/')}/.knit"
    http = given.raw.get("dfs.namenode.http-address")
    if http and "nn" not in own:
        options.setdefault("namenode", address(http, 9870) if "://" in http else f"http://{http}")
    return options


def _overlay(found: Config | None, raw: Mapping[str, str], environ: Mapping[str, str]) -> HadoopConf:
    """Hadoop's configuration with the given properties over it."""
    base = found.hadoop if found is not None and found.hadoop is not None else HadoopConf({}, {}, environ)
    given = {key: value.upper() if key == "yarn.http.policy" else value for key, value in raw.items()}
    sources = dict.fromkeys(given, "the argument pars")
    return HadoopConf({**base.properties, **given}, {**base.sources, **sources}, base.environment)


def _without_detection(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in environ.items() if key not in _DETECTION and not key.startswith("KNIT_")}
    return {**kept, "XDG_CONFIG_HOME": "/dev/null"}  # no config file, either


def _conf(given: Settings, config: Config) -> dict[str, Any]:
    """`Knit.conf`: Hadoop's properties of the files, what follows from them, and what was given."""
    hadoop = config.hadoop or HadoopConf()
    conf: dict[str, Any] = {**DEFAULTS, **{name: hadoop.get(name) for name in hadoop.properties}}
    replication = hadoop.integer("dfs.replication", DEFAULTS["replication_factor"])
    conf.update(replication_factor=replication, user=config.known_user)
    filesystem = urlsplit(hadoop.get("fs.defaultFS") or "")
    if filesystem.scheme == "hdfs":
        conf.update(nn=filesystem.hostname, nn_port=filesystem.port or 8020)
    conf.update(given.own)
    rm = urlsplit(config.resourcemanagers[0])
    conf.update(rm=rm.hostname, **{"rm_port_https" if rm.scheme == "https" else "rm_port": rm.port})
    return {**conf, **given.raw, **given.core}


__all__ = ["Settings", "address", "connection", "hint", "resourcemanagers"]
