"""Config: Knit's own settings, resolved from every place that may set them, each value with its source."""

from __future__ import annotations

import getpass
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from knit_container.secret import Hidden
from knit_core.config import addresses, identity
from knit_core.config.hadoop import HadoopConf, folders, from_reply, read_folder
from knit_core.config.proxies import Proxies, proxies_of, without_user
from knit_core.errors import ConfigError, NoClusterFound
from knit_core.model.clock import Clock
from knit_core.model.representation import html_rows, one_line

SETTINGS: Mapping[str, str] = {
    "resourcemanager": "ResourceManager web address, several separated by commas (http://rm.example.org:8088)",
    "namenode": "WebHDFS address of the NameNode, several separated by commas (http://nn.example.org:9870)",
    "filesystem": "Hadoop URL of the filesystem that holds the staging folder (hdfs://nn.example.org:8020)",
    "user": "who you are under simple authentication",
    "auth": "simple or basic",
    "password": "for basic authentication through a gateway; needs `auth` basic",
    "gateway_path": "path prefix of a gateway such as Knox (/gateway/default)",
    "ca": "CA bundle for https, or false to check nothing",
    "proxy": "proxy to all of the cluster's services (http://…, socks5h://…), or environment: that of HTTP_PROXY and its like",
    "no_proxy": "hosts, domains and networks that are reached without it, separated by commas",
    "staging": "staging folder on HDFS, default .knit in the home folder (/user/<user>)",
    "queue": "queue for applications that name none",
    "replication": "replication of uploaded files; the filesystem's default otherwise",
    "shared_cache": "folder on HDFS (mode 1777) for environments that all users share, such as /shared/knit",
    "shared_trust": "users whose environments in the shared cache are used as they are, separated by commas",
    "api_ports": "ports for the ApplicationMaster's API, for example 40000-40100",
    "java": "java command for the ApplicationMaster on the nodes, default $JAVA_HOME/bin/java, else java",
    "application_classpath": "classpath of Hadoop's jars on the nodes, when the cluster does not say",
    "class_sharing": "false: ApplicationMasters keep no archive of their classes on the nodes, and start more slowly",
}
_FILESYSTEM = "fs.defaultFS"
_SECRET = frozenset({"password"})
_REFUSED = 60.0  # seconds


class Value:
    """A setting and where it came from.

    Attributes:
        value: the setting.
        source: where it came from.
        secret: it is shown by nothing, not even by `str`; `value` gives it.
    """

    __slots__ = ("_held", "secret", "source")

    def __init__(self, value: str, source: str, secret: bool = False) -> None:
        self._held: str | Hidden[str] = Hidden(value) if secret else value
        self.source, self.secret = source, secret

    @property
    def value(self) -> str:
        """The setting itself."""
        return self._held if isinstance(self._held, str) else self._held.reveal()

    def __str__(self) -> str:
        return str(self._held)

    def __repr__(self) -> str:
        return one_line("Value", [("", self._held), ("source", self.source)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and (self.value, self.source) == (other.value, other.source)

    def __hash__(self) -> int:
        return hash((self.value, self.source))


@dataclass(repr=False)
class Config:
    """All that is known about the cluster before and after the ResourceManager was asked; thread-safe.

    Attributes:
        settings: Knit's own settings that somebody gave, by name.
        hadoop: Hadoop's XML, when a folder was found.
        remote: the ResourceManager's own configuration, once fetched (see `learn`).
        places: where was looked, for messages.
        fetch: asks the ResourceManager; None, or an answer of None: it does not say.
        fetch_home: asks HDFS for the user's home folder; empty: it does not say.
        home: what it said.
        proxies: which proxy each host is reached through.
        clock: tells how old a refusal is.
    """

    settings: dict[str, Value] = field(default_factory=dict)
    hadoop: HadoopConf | None = None
    remote: HadoopConf | None = None
    places: list[str] = field(default_factory=list)
    fetch: Callable[[], HadoopConf | None] | None = field(default=None, repr=False)
    fetch_home: Callable[[], str] | None = field(default=None, repr=False)
    home: str | None = field(default=None, repr=False)
    proxies: Proxies = field(default_factory=Proxies)
    clock: Clock = field(default=time, repr=False, compare=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False, compare=False)
    _refused_at: float | None = field(default=None, init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        return one_line("Config", [(name, str(found)) for name, found in self.settings.items()])

    def _repr_html_(self) -> str:
        rows = [{"setting": name, **row} for name, row in self.describe().items()]
        return html_rows("Configuration", rows)

    def get(self, name: str) -> str | None:
        """A setting's value, None when nobody set it."""
        found = self.settings.get(name)
        return found.value if found else None

    def hadoop_property(self, name: str) -> Value | None:
        """A Hadoop property: from the XML, else from what the ResourceManager says."""
        if self.hadoop is not None and (local := self.hadoop.get(name)) is not None:
            return Value(local, self.hadoop.source(name))
        remote = self.learn()
        value = remote.get(name) if remote else None
        return None if value is None or remote is None else Value(value, remote.source(name))

    def cluster_property(self, name: str, default: str) -> str:
        """A property of the daemons: from the ResourceManager first, since a client's XML may be stale."""
        remote = self.learn()
        value = remote.get(name) if remote else None
        if value is None and self.hadoop is not None:
            value = self.hadoop.get(name)
        return default if value is None or value == "" else value

    def learn(self) -> HadoopConf | None:
        """The ResourceManager's `/conf`, fetched once; None when it does not let us read it.

        A refusal is believed for a minute.

        Raises:
            ConnectionFailed, ServiceUnavailable: it could not be asked; the next call asks again.
        """
        if self.remote is None and self.fetch is not None:
            with self._lock:  # whoever comes meanwhile takes this answer
                now = self.clock.monotonic()
                if self.remote is None and (self._refused_at is None or now - self._refused_at >= _REFUSED):
                    self.remote = self.fetch()
                    self._refused_at = now
        return self.remote

    @property
    def user(self) -> str:
        """Who acts."""
        return self.settings["user"].value

    @property
    def resourcemanagers(self) -> list[str]:
        """Base URLs of the ResourceManagers, the gateway's path included."""
        return [url + self.gateway_path for url in _split(self.settings["resourcemanager"].value)]

    @property
    def gateway_path(self) -> str:
        """Path prefix of a gateway, without a trailing slash; empty without one."""
        path = (self.get("gateway_path") or "").strip("/")
        return f"/{path}" if path else ""

    @property
    def namenodes(self) -> Value:
        """WebHDFS base URLs, comma separated.

        Raises:
            ConfigError: nobody says where the NameNode is.
        """
        if "namenode" in self.settings:
            return self.settings["namenode"]
        guess: Value | None = None
        for conf in self._told():
            value, sure = _namenodes(conf)
            if value is not None and sure:
                return value
            guess = guess or value
        if guess is not None:
            return guess
        raise ConfigError(
            "No HDFS found: neither Hadoop's XML nor the ResourceManager names an hdfs:// fs.defaultFS. "
            "Set KNIT_NAMENODE to the NameNode's web address (http://nn.example.org:9870)."
        )

    def _told(self) -> Iterator[HadoopConf]:
        """The XML, then what the ResourceManager says; it is asked only when the XML does not do."""
        if self.hadoop is not None:
            yield self.hadoop
        if (remote := self.learn()) is not None:
            yield remote

    @property
    def nameservice(self) -> str:
        """The filesystem's name, where it may be a nameservice of which nothing tells the NameNodes; else empty."""
        if not self.namenodes.source.startswith(f"{_FILESYSTEM} "):
            return ""
        return next((name for conf in (self.hadoop, self.remote) if conf and (name := addresses.nameservice(conf))), "")

    @property
    def filesystem(self) -> Value:
        """Hadoop URL of the filesystem, as the nodes use it (`hdfs://host:port`)."""
        if "filesystem" in self.settings:
            given = self.settings["filesystem"]
            return Value(given.value.rstrip("/"), given.source)
        found = self.hadoop_property("fs.defaultFS")
        if found is None or not found.value.startswith("hdfs://"):
            raise ConfigError(
                "No HDFS found: fs.defaultFS is " + (repr(found.value) if found else "not set") + ". "
                "Set KNIT_FILESYSTEM to the URL that the nodes use (hdfs://nn.example.org:8020)."
            )
        return Value(found.value.rstrip("/"), found.source)

    @property
    def class_sharing(self) -> bool:
        """Whether ApplicationMasters may keep an archive of their classes on the nodes."""
        return (self.get("class_sharing") or "true").lower() == "true"

    @property
    def staging(self) -> str:
        """Path of the staging folder on HDFS: by default in the home folder, as HDFS itself names it."""
        given = self.get("staging")
        return given.rstrip("/") if given else f"{self._home_folder()}/.knit"

    def _home_folder(self) -> str:
        if self.home is None and self.fetch_home is not None:
            self.home = self.fetch_home()
        return (self.home or f"/user/{self.user}").rstrip("/")

    def describe(self) -> dict[str, dict[str, str]]:
        """Every known setting with its source; secrets masked."""
        return {
            name: {"value": _shown(name, found.value), "source": found.source}
            for name, found in sorted(self.settings.items())
        }


def load_config(
    address: str | None = None,
    options: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    user: str | None = None,
    local: bool = True,
) -> Config:
    """Resolve the configuration; no network is used.

    Args:
        address: ResourceManager's address (`http://rm:8088`, or `rm:8088`), beats everything.
        options: settings by name (see `SETTINGS`), beat the environment.
        environ: instead of the process's environment.
        user: who acts.
        local: whether a running embedded cluster may be used when nothing else is there.

    Raises:
        NoClusterFound: no ResourceManager; the message names every place looked at.
        ConfigError: a setting is unknown or contradicts itself.
    """
    environ = os.environ if environ is None else environ
    identity.check_variables(environ, SETTINGS)
    config = Config()
    given = {key: value for key, value in dict(options or {}).items() if value is not None}
    if address is not None:
        given["resourcemanager"] = address
    if user is not None:
        given["user"] = user
    _take(config, given, lambda name: f"argument {name}")
    config.places.append("the address given in the call (none)")
    _take(
        config,
        {name: environ[f"KNIT_{name.upper()}"] for name in SETTINGS if environ.get(f"KNIT_{name.upper()}")},
        lambda name: f"KNIT_{name.upper()}",
    )
    config.places.append("the environment variable KNIT_RESOURCEMANAGER")
    _take_file(config, environ)
    _take_credentials(config)
    named = "resourcemanager" in config.settings
    _take_hadoop(config, environ, use_address=not named)
    if "resourcemanager" not in config.settings and local:
        _take_local(config, environ)
    if "resourcemanager" not in config.settings:
        raise NoClusterFound(config.places)
    if "user" not in config.settings:
        config.settings["user"] = _who(environ)
    _normalise(config)
    config.proxies = proxies_of(config.get("proxy"), config.get("no_proxy"), environ)
    return config


def _is_secret(name: str, value: str) -> bool:
    return name in _SECRET or (name == "proxy" and "@" in value)


def _shown(name: str, value: str) -> str:
    """A setting without what is secret in it."""
    return "***" if name in _SECRET else without_user(value) if name == "proxy" else value


def _namenodes(conf: HadoopConf) -> tuple[Value | None, bool]:
    """What a configuration says of the NameNodes, and whether that is more than a guess."""
    found, told_by = addresses.namenodes(conf)
    if not found:
        return None, False
    value = Value(",".join(found), f"{told_by} in {conf.source(told_by)}")
    return value, told_by != _FILESYSTEM or not addresses.nameservice(conf)


def _take(config: Config, values: Mapping[str, Any], source: Callable[[str], str]) -> None:
    unknown = [name for name in values if name not in SETTINGS]
    if unknown:
        import difflib

        near = difflib.get_close_matches(unknown[0], SETTINGS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(SETTINGS)}"
        raise ConfigError(f"{unknown[0]!r} ({source(unknown[0])}) is no setting of Knit; {hint}")
    for name, value in values.items():
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        config.settings.setdefault(name, Value(text, source(name), _is_secret(name, text)))


def config_file(environ: Mapping[str, str]) -> Path:
    """The user's config file: `$KNIT_CONFIG`, else `$XDG_CONFIG_HOME/knit/config.yaml`."""
    if environ.get("KNIT_CONFIG"):
        return Path(environ["KNIT_CONFIG"])
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".config")
    return Path(base) / "knit" / "config.yaml"


def _take_file(config: Config, environ: Mapping[str, str]) -> None:
    path = config_file(environ)
    if not path.is_file():
        if environ.get("KNIT_CONFIG"):
            raise ConfigError(f"KNIT_CONFIG names {path}, which is not there")
        config.places.append(f"{path} (not there)")
        return
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} should hold settings as `name: value`, not {type(data).__name__}")
    _take(config, {str(key): value for key, value in data.items() if value is not None}, lambda name: str(path))
    config.places.append(f"{path} (names no resourcemanager)")


def _take_credentials(config: Config) -> None:
    """`https://user:password@gateway` is a user and a password; the address goes on without them."""
    for name in ("resourcemanager", "namenode"):
        if name not in config.settings or "@" not in config.settings[name].value:
            continue
        given = config.settings[name]
        urls, found = identity.without_credentials(_split(given.value))
        config.settings[name] = Value(",".join(urls), given.source)
        if found is None:
            continue
        user, password = found
        source = f"the {name}'s address, {given.source}"
        for part, value in (("user", user), ("password", password), ("auth", "basic" if password else "")):
            there = config.settings.get(part)
            if value and there is not None and there.value != value:
                raise ConfigError(f"{part} is another one in {source} than in {there.source}: give one of them")
            if value:
                config.settings[part] = Value(value, source, part in _SECRET)


def _take_hadoop(config: Config, environ: Mapping[str, str], *, use_address: bool) -> None:
    """The first Hadoop folder that is there; its addresses count only when nobody named a ResourceManager, or the same one."""
    for folder, why in folders(environ):
        conf = read_folder(folder, why, environ)
        if conf is None:
            config.places.append(f"{folder} ({why}: no Hadoop configuration there)" if why != str(folder) else f"{why}")
            continue
        found, told_by = addresses.resourcemanagers(conf)
        if use_address:
            if not found:
                config.places.append(f"{folder} ({why}: yarn-site.xml names no ResourceManager)")
                continue
            config.hadoop = conf
            source = f"{told_by} in {conf.source(told_by)}"
            _take(config, {"resourcemanager": ",".join(found)}, lambda _name, source=source: source)  # type: ignore[misc]
        elif _same(found, config.settings["resourcemanager"].value):
            config.hadoop = conf
        return


def _take_local(config: Config, environ: Mapping[str, str]) -> None:
    from knit_core.local import running_cluster

    cluster = running_cluster()
    if cluster is None:
        config.places.append("an embedded cluster (none is running; knit local up starts one)")
        return
    conf = read_folder(Path(cluster.conf_dir), "embedded cluster", environ)
    if conf is not None:
        config.hadoop = conf
        _take(config, {"resourcemanager": cluster.resourcemanager_url}, lambda name: "the running embedded cluster")


def _who(environ: Mapping[str, str]) -> Value:
    if environ.get("HADOOP_USER_NAME"):
        return Value(environ["HADOOP_USER_NAME"], "HADOOP_USER_NAME")
    try:
        return Value(getpass.getuser(), "the operating system's user")
    except (KeyError, OSError):
        raise ConfigError("The operating system does not know this process's user: set KNIT_USER") from None


def _normalise(config: Config) -> None:
    for name, ports in (("resourcemanager", (8088, 8090)), ("namenode", (9870, 9871))):
        if name in config.settings:
            found = config.settings[name]
            urls = [_url(text, ports, name, found.source, _gateway(config)) for text in _split(found.value)]
            config.settings[name] = Value(",".join(urls), found.source)
    user = config.settings["user"]
    # A directory's names have letters of all languages, `DOMAIN\\alice` or `alice@REALM`; what a shell or a path would
    # take for something else is in none of them.
    if not re.fullmatch(r"[\w.@/\\+-]{1,256}\$?", user.value) or ".." in user.value:
        raise ConfigError(f"{user.value!r} ({user.source}) is not a user name")
    auth = config.settings.get("auth", Value("", ""))
    if auth.value not in {"", "simple", "basic"}:
        raise ConfigError(f"auth {auth.value!r} ({auth.source}) is unknown: simple or basic")
    for problem in identity.contradictions(
        auth.value, auth.source, config.settings.get("password", Value("", "")).source
    ):
        raise ConfigError(problem)
    span = config.get("api_ports")
    if span and not re.fullmatch(r"\d{1,5}(-\d{1,5})?", span):
        raise ConfigError(f"api_ports {span!r} ({config.settings['api_ports'].source}) is not like 40000-40100")
    sharing = config.get("class_sharing")
    if sharing and sharing.lower() not in {"true", "false"}:
        raise ConfigError(f"class_sharing {sharing!r} ({config.settings['class_sharing'].source}) is not true or false")


def _gateway(config: Config) -> bool:
    """Whether the addresses are a gateway's, not the services' own: only gateways take passwords and have path prefixes."""
    return bool(config.gateway_path or config.get("password") or config.get("auth") == "basic")


def _url(text: str, ports: tuple[int, int], name: str, source: str, gateway: bool) -> str:
    """A base URL with a port where none is given: Hadoop's own; the usual one of a gateway's address, or one with a path."""
    url = text.strip().rstrip("/")
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname)
        explicit = parts.port
    except ValueError:
        good, explicit = False, None
    if not good:
        raise ConfigError(f"{text!r} ({source}) is not an address for {name}: it looks like http://host:{ports[0]}")
    if explicit is None and not ((gateway and parts.scheme == "https") or parts.path):
        url = f"{parts.scheme}://{parts.netloc}:{ports[parts.scheme == 'https']}"
    return url


def _split(value: str) -> list[str]:
    return [text for text in re.split(r"[,;\s]+", value) if text]


def _same(found: list[str], given: str) -> bool:
    """Whether the XML describes the cluster that was named: only then may its other properties be used."""
    hosts = {_place(url if "://" in url else f"http://{url}") for url in _split(given)}
    return bool(hosts & {_place(url) for url in found})


def _place(url: str) -> tuple[str | None, int] | None:
    """Host and port, the usual one where none is given; None: it is no address."""
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port or (8090 if parts.scheme == "https" else 8088)
    except ValueError:
        return None


__all__ = ["SETTINGS", "Config", "Value", "config_file", "from_reply", "load_config"]
