"""Config: Knit's own settings, each value with its source. `load_config` (load.py) reads them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from knit_core.config import addresses, default_filesystem, gateways, namenodes
from knit_core.config.auth_to_local import short_name
from knit_core.config.hadoop_conf import HadoopConf
from knit_core.config.identity import same_user
from knit_core.config.names import SECRET, SETTINGS, is_secret, masked
from knit_core.config.proxies import Proxies
from knit_core.config.values import Value
from knit_core.errors import ConfigError, KnitError
from knit_core.model.clock import Clock
from knit_core.model.representation import html_rows, one_line

_FILESYSTEM = "fs.defaultFS"
_REFUSAL_LIFETIME = 60.0  # seconds
#: Sources of `user`. What the system or Hadoop's variable says is a default, which a Kerberos ticket overrides.
IMPLICIT_USERS = SYSTEM_USER, HADOOP_USER = "the operating system's user", "HADOOP_USER_NAME"
FROM_TICKET = "the Kerberos ticket"
_NOBODY = Value("", "")


@dataclass(repr=False)
class Config:
    """What is known about the cluster: settings, Hadoop's XML, the ResourceManager's configuration. Thread-safe.

    Attributes:
        settings: Knit's own settings that are set, by name.
        hadoop: Hadoop's XML; None when no folder with it was found.
        remote: the ResourceManager's configuration, once fetched (see `learn`).
        places: where a ResourceManager was looked for, for messages.
        fetch: fetches the ResourceManager's configuration; it returns None when reading it is not allowed.
        fetch_present: the same of the ResourceManager that is asked first, which may be a standby.
        fetch_home: fetches the user's home folder from HDFS; it returns an empty text when HDFS does not support that.
        fetch_gateway: returns the WebHDFS addresses of the gateway before the ResourceManager; empty when it serves none.
        fetch_principal: under Kerberos, returns the principal of the user's ticket, from which `user` comes.
        home: the fetched home folder.
        named_with_password: addresses that were given with a password in them.
        proxies: the proxy for each host.
        clock: for the age of a refusal.
    """

    settings: dict[str, Value] = field(default_factory=dict)
    hadoop: HadoopConf | None = None
    remote: HadoopConf | None = None
    places: list[str] = field(default_factory=list)
    fetch: Callable[[], HadoopConf | None] | None = field(default=None, repr=False)
    fetch_present: Callable[[], HadoopConf | None] | None = field(default=None, repr=False)
    fetch_home: Callable[[], str] | None = field(default=None, repr=False)
    fetch_gateway: Callable[[], list[str]] | None = field(default=None, repr=False)
    fetch_principal: Callable[[], str] | None = field(default=None, repr=False)
    home: str | None = field(default=None, repr=False)
    named_with_password: list[str] = field(default_factory=list)
    proxies: Proxies = field(default_factory=Proxies)
    clock: Clock = field(default=time, repr=False, compare=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False, compare=False)
    _refused_at: float | None = field(default=None, init=False, repr=False, compare=False)
    _at_gateway: list[str] | None = field(default=None, init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        return one_line("Config", [(name, str(found)) for name, found in self.settings.items()])

    def _repr_html_(self) -> str:
        rows = [{"setting": name, **row} for name, row in self.describe().items()]
        return html_rows("Configuration", rows)

    def get(self, name: str) -> str | None:
        """A setting's value; None when it is not set."""
        found = self.settings.get(name)
        return found.value if found else None

    def hadoop_property(self, name: str) -> Value | None:
        """A Hadoop property: from the XML, else from the ResourceManager's configuration."""
        if self.hadoop is not None and (local := self.hadoop.get(name)) is not None:
            return Value(local, self.hadoop.source(name))
        remote = self.learn()
        value = remote.get(name) if remote else None
        return None if value is None or remote is None else Value(value, remote.source(name))

    def cluster_property(self, name: str, default: str) -> str:
        """A property of the daemons: from the ResourceManager first, as the client's XML may be out of date."""
        remote = self.learn()
        value = remote.get(name) if remote else None
        if value is None and self.hadoop is not None:
            value = self.hadoop.get(name)
        return default if value is None or value == "" else value

    def learn(self) -> HadoopConf | None:
        """The ResourceManager's `/conf`, fetched once; None when reading it is not allowed.

        After a refusal it is fetched again one minute later at the earliest.

        Raises:
            ConnectionFailed, ServiceUnavailable: the ResourceManager does not answer; the next call fetches again.
        """
        if self.remote is None and self.fetch is not None:
            with self._lock:  # other threads wait for this answer
                now = self.clock.monotonic()
                if self.remote is None and (self._refused_at is None or now - self._refused_at >= _REFUSAL_LIFETIME):
                    self.remote = self.fetch()
                    self._refused_at = now
        return self.remote

    @property
    def user(self) -> str:
        """The user for whom requests are made: `proxy_user`, else who logs in. Raises as `login_user`."""
        return self.get("proxy_user") or self.login_user

    @property
    def login_user(self) -> str:
        """The user whose identity requests prove or state: under Kerberos the ticket's.

        Raises:
            KnitError: under Kerberos there is no valid ticket.
            ConfigError: the ticket is not that of the user that is set.
        """
        if self.fetch_principal is not None and self.settings.get("user", _NOBODY).source != FROM_TICKET:
            self.use_principal(self.fetch_principal())
        return self.settings["user"].value

    @property
    def known_user(self) -> str:
        """The user, or a placeholder under Kerberos as long as no ticket was needed; raises nothing."""
        if "proxy_user" in self.settings:
            return self.settings["proxy_user"].value
        known = self.fetch_principal is None or self.settings.get("user", _NOBODY).source == FROM_TICKET
        return self.settings["user"].value if known else "(that of the Kerberos ticket)"

    def use_principal(self, principal: str) -> None:
        """Take the user from a Kerberos principal.

        Raises:
            ConfigError: another user is set.
        """
        rules = self.hadoop.get("hadoop.security.auth_to_local") if self.hadoop is not None else None
        short, given = short_name(principal, rules or ""), self.settings.get("user")
        explicit = given is not None and given.source not in (*IMPLICIT_USERS, FROM_TICKET)
        if given is not None and explicit and not (same_user(given.value, short) or given.value == principal):
            raise ConfigError(
                f"user is {given.value} ({given.source}), but the Kerberos ticket is that of {principal}, and the cluster's "
                f"services go by the ticket: get a ticket of {given.value} (kinit {given.value}), remove the setting, or, where "
                f"{short} may act for others, set proxy_user instead of user"
            )
        self.settings["user"] = Value(short, FROM_TICKET)

    @property
    def resourcemanagers(self) -> list[str]:
        """Base URLs of the ResourceManagers, the gateway's path included."""
        urls = split_addresses(self.settings["resourcemanager"].value)
        return [gateways.below(url, self.gateway_path) for url in urls]

    def other_resourcemanagers(self, answers: bool) -> list[str]:
        """All ResourceManagers that the configuration of the given one names: it may be one of two, and a standby.

        Of a cluster with one there are none: where the given address differs from the configured one, it is a tunnel or a
        proxy, and the way past it was not asked for.

        Args:
            answers: whether it answers (a standby returns its configuration, too); else only what is known is used.
        """
        conf = self.remote
        if conf is None and answers and self.fetch_present is not None:
            conf = self.fetch_present()  # not kept: that of a standby lacks HDFS's properties
        found = [] if conf is None or self.behind_gateway else addresses.resourcemanagers(conf)[0]
        return found if len(found) > 1 else []

    @property
    def behind_gateway(self) -> bool:
        """Whether the ResourceManager's address is a gateway's: it has a path, or a password or token is for it."""
        return self.has_credentials or any(gateways.has_path(url) for url in self.resourcemanagers)

    @property
    def has_credentials(self) -> bool:
        """Whether a password or token is sent to the gateway."""
        return self.get("auth") in gateways.WITH_CREDENTIALS

    @property
    def credential_origins(self) -> frozenset[str]:
        """Scheme, host and port of the servers that may get the password or token."""
        namenodes = split_addresses(self.get("namenode") or "")
        return gateways.credential_origins(self.resourcemanagers, namenodes, self.named_with_password)

    @property
    def gateway_path(self) -> str:
        """Path prefix of a gateway, without a trailing slash; empty without one."""
        path = (self.get("gateway_path") or "").strip("/")
        return f"/{path}" if path else ""

    @property
    def namenodes(self) -> Value:
        """WebHDFS base URLs, comma separated: as set, else the gateway's, else those that the cluster's configuration names.

        Raises:
            ConfigError: no configuration names a NameNode, or the gateway has no WebHDFS.
            KnitError: the gateway refused the user, or does not answer.
        """
        if "namenode" in self.settings:
            return self.settings["namenode"]
        if found := self._gateway_namenodes():
            return Value(",".join(found), f"the gateway of resourcemanager, {self.settings['resourcemanager'].source}")
        guess: Value | None = None
        for conf in self._hadoop_confs():
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

    def _gateway_namenodes(self) -> list[str]:
        """WebHDFS addresses of the gateway; empty without a gateway, or when it serves none and none has to be its own.

        Raises:
            ConfigError: it serves none, and there is a password or token, which another server must not get.
        """
        if self.fetch_gateway is None or not self.behind_gateway:
            return []
        with self._lock:
            if self._at_gateway is None:
                self._at_gateway = self.fetch_gateway()
        if not self._at_gateway and self.has_credentials:
            where = ", ".join(map(gateways.topology, self.resourcemanagers))
            if not any(map(gateways.has_path, self.resourcemanagers)):
                raise ConfigError(
                    f"auth is {self.get('auth')} ({self.settings['auth'].source}), which is for a gateway such as Knox, and "
                    f"{where} is none: it has no path and no WebHDFS. Give the gateway's address "
                    "(https://knox.example.org:8443/gateway/default), or remove auth, and password or token, where the cluster "
                    "accepts user names without a password. The NameNodes that its configuration names get none"
                )
            raise ConfigError(
                f"The gateway at {where} has no WebHDFS (nothing at /webhdfs/v1): its administrator must add the service WEBHDFS "
                "to that topology, or set namenode (KNIT_NAMENODE) to a gateway's address that has it "
                "(https://knox.example.org:8443/gateway/default). The NameNodes that the cluster's configuration names get no "
                "password or token"
            )
        return self._at_gateway

    @property
    def container_namenodes(self) -> Value:
        """WebHDFS base URLs for containers, comma separated: the client's may be a gateway's, or a tunnel's.

        Raises:
            ConfigError: no configuration names a NameNode.
        """
        if "container_namenode" in self.settings:
            return self.settings["container_namenode"]
        client = self.namenodes
        urls = client.value.split(",")
        confs = [conf for conf in (self.learn(), self.hadoop) if conf is not None] or [HadoopConf()]
        try:
            filesystem = self.filesystem.value
        except ConfigError:  # the client's addresses serve without it
            filesystem = ""
        found = namenodes.for_containers(urls, self._is_hdfs_gateway(urls), filesystem, confs)
        return client if found is None else Value(",".join(found[0]), found[1])

    def other_namenodes(self, standby: bool) -> list[str]:
        """All NameNodes of the nameservice that the known ones belong to: one of two may be given, or the XML may be old.

        Args:
            standby: whether one of the known ones answered as a standby.
        """
        urls = self.namenodes.value.split(",")
        if self._is_hdfs_gateway(urls):
            return []
        try:
            remote = self.learn()
        except KnitError:  # the ResourceManager does not answer, either
            remote = None
        confs = [conf for conf in (remote, self.hadoop) if conf is not None]
        filesystem = self.get("filesystem") or ""
        found = [url for conf in confs for url in namenodes.partners(conf, urls, filesystem, standby)]
        return list(dict.fromkeys(found))

    def _is_hdfs_gateway(self, urls: list[str]) -> bool:
        return namenodes.is_gateway(urls, self.has_credentials)

    def _hadoop_confs(self) -> Iterator[HadoopConf]:
        """The XML, then the ResourceManager's configuration, which is fetched only when the XML is not sufficient."""
        if self.hadoop is not None:
            yield self.hadoop
        if (remote := self.learn()) is not None:
            yield remote

    @property
    def nameservice(self) -> str:
        """The filesystem's name where it may be a nameservice without configured NameNodes; else empty."""
        if not self.namenodes.source.startswith(f"{_FILESYSTEM} "):
            return ""
        return next((name for conf in (self.hadoop, self.remote) if conf and (name := addresses.nameservice(conf))), "")

    @property
    def filesystem(self) -> Value:
        """Hadoop URL of the filesystem, as the nodes use it (`hdfs://host:port`)."""
        if "filesystem" in self.settings:
            given = self.settings["filesystem"]
            return Value(given.value.rstrip("/"), given.source)
        for conf in self._hadoop_confs():
            url, property_name = default_filesystem.hdfs_of(conf)
            if url:
                return Value(url, conf.source(property_name))
        found = self.hadoop_property(_FILESYSTEM)
        raise ConfigError(
            f"No HDFS found: fs.defaultFS is {repr(found.value) if found else 'not set'}, and neither a mount table nor "
            "dfs.nameservices names an HDFS beside it. Knit needs one for its files: set KNIT_FILESYSTEM to its URL as the nodes "
            "use it (hdfs://nn.example.org:8020)."
        )

    @property
    def class_sharing(self) -> bool:
        """Whether ApplicationMasters may keep an archive of their classes on the nodes."""
        return (self.get("class_sharing") or "true").lower() == "true"

    @property
    def staging(self) -> str:
        """Path of the staging folder on HDFS; by default in the home folder that HDFS names."""
        given = self.get("staging")
        return given.rstrip("/") if given else f"{self._home_folder()}/.knit"

    def _home_folder(self) -> str:
        if self.home is None and self.fetch_home is not None:
            self.home = self.fetch_home()
        home = (self.home or f"/user/{self.user}").rstrip("/")
        place = self._place(home)
        return place.path if place.mounted and place.filesystem.startswith("hdfs://") else home

    def on_hdfs(self, path: str) -> str:
        """The path on `filesystem` of a path of the cluster's default filesystem, or of a Hadoop URL.

        Raises:
            ConfigError: it is in another filesystem.
        """
        place = self._place(path)
        scheme = urlsplit(place.filesystem).scheme
        same = not place.mounted or addresses.same_filesystem(place.filesystem, self.filesystem.value)
        if scheme in {"", "hdfs", "webhdfs", "swebhdfs"} and same:
            return place.path
        raise ConfigError(f"{path} is in {place.filesystem}, and Knit uses {self.filesystem.value} only")

    def _place(self, path: str) -> default_filesystem.Place:
        confs = [conf for conf in (self.hadoop, self.remote) if conf is not None]
        places = [default_filesystem.resolve(conf, path) for conf in confs]
        found = next((place for place in places if place.filesystem), None)
        return found or default_filesystem.Place("", urlsplit(path).path, False)

    def describe(self) -> dict[str, dict[str, str]]:
        """Every setting that is set, with its source; secrets masked. No user of the system's where tickets name the user."""
        hidden = (
            {"user"} if self.get("auth") == "kerberos" and self.settings["user"].source in IMPLICIT_USERS else set()
        )
        return {
            name: {"value": masked(name, found.value), "source": found.source}
            for name, found in sorted(self.settings.items())
            if name not in hidden
        }


def _namenodes(conf: HadoopConf) -> tuple[Value | None, bool]:
    """The NameNodes of a configuration; False when fs.defaultFS alone names them and may be a nameservice."""
    filesystem, origin = default_filesystem.hdfs_of(conf)
    found, property_name = addresses.namenodes(conf, filesystem)
    if not found:
        return None, False
    guessed = property_name == _FILESYSTEM
    shown = origin or property_name if guessed else property_name
    value = Value(",".join(found), f"{shown} in {conf.source(shown)}")
    return value, not guessed or not addresses.nameservice_of(filesystem)


def split_addresses(value: str) -> list[str]:
    """The parts of a setting that lists addresses, separated by commas, semicolons or spaces."""
    return [text for text in re.split(r"[,;\s]+", value) if text]


__all__ = [
    "FROM_TICKET", "HADOOP_USER", "SECRET", "SETTINGS", "SYSTEM_USER", "Config", "Value", "is_secret", "split_addresses",
]  # fmt: skip
