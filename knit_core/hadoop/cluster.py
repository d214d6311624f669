"""Cluster: the connections to one YARN cluster, shared by `Knit`, its applications, launches, logs and functions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property

from knit_core.config import Config, HadoopConf
from knit_core.config.gateways import topology
from knit_core.config.tokens import Token
from knit_core.errors import RequestRefused, UnexpectedReply
from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.hadoop.gateway import find_namenode, find_resourcemanager
from knit_core.hadoop.http import (
    ActingFor,
    AuthStrategy,
    BasicAuth,
    DetectedAuth,
    DirectTransport,
    Endpoint,
    HttpService,
    KerberosAuth,
    RetryPolicy,
    Route,
    SimpleAuth,
    Tickets,
    Tls,
    TokenAuth,
)
from knit_core.hadoop.ownership import check_staging
from knit_core.hadoop.resource_manager import ResourceManager
from knit_core.hadoop.user_key import UserKey
from knit_core.hadoop.webhdfs import WebHdfs
from knit_core.model.clock import Clock
from knit_core.model.report import ApplicationReport
from knit_core.model.representation import one_line
from knit_core.monitoring.wait import RETRY_TIMEOUT

_OF_HDFS = "dfs.namenode.http-address"  # has a default, so it is there when HDFS's properties are loaded
_NAMESERVICE_HINT = (
    "{name} has no port in fs.defaultFS, so it is probably a nameservice (several NameNodes under one name), which only "
    "Hadoop's hdfs-site.xml defines: put that beside core-site.xml (HADOOP_CONF_DIR), or set KNIT_NAMENODE to the web "
    "addresses of its NameNodes (http://nn1.example.org:9870,http://nn2.example.org:9870)."
)


class Cluster:
    """Clients of the services of one cluster, each made on first use; thread-safe.

    Args:
        config: addresses, user and other settings.

    Attributes:
        config: the same.
        clock: for deadlines and pauses. For tests; set it before the first call.
        away_nodes: by the address of a NodeManager's web server, when logs of its containers could last be read in another way
            only (the clock's monotonic time).
        retry_timeout: seconds to wait for a reply, without repetition; None: requests are repeated during longer outages.
            Set it before the first call.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.clock: Clock = time
        self.retry_timeout: float | None = None
        self.away_nodes: dict[str, float] = {}
        config.fetch, config.fetch_home = self._fetch_configuration, self._home_folder
        config.fetch_gateway = self._gateway_namenodes
        config.fetch_present = lambda: self.resourcemanager.conf()
        if config.get("auth") == "kerberos":
            config.fetch_principal = self._principal
        self._services: list[HttpService] = []
        self.direct = DirectTransport(config.proxies)
        self._staging_checked = False

    def __repr__(self) -> str:
        return one_line(
            "Cluster", [("", self.config.settings["resourcemanager"].value), ("user", self.config.known_user)]
        )

    def close(self) -> None:
        """Close its connections; applications go on."""
        for service in self._services:
            service.close()
        self.direct.close()

    # -- services ----------------------------------------------------------

    @cached_property
    def resourcemanager(self) -> ResourceManager:
        """The ResourceManager's API."""
        config = self.config
        locate = find_resourcemanager if config.behind_gateway else None
        others = config.other_resourcemanagers
        return ResourceManager(self._service("ResourceManager", config.resourcemanagers, others=others, locate=locate))

    @cached_property
    def hdfs(self) -> WebHdfs:
        """HDFS."""
        urls, name = self.config.namenodes.value.split(","), self.config.nameservice
        if self.config.behind_gateway and tuple(urls) == self._at_gateway.endpoint.addresses:
            return WebHdfs(self._at_gateway)
        hint = _NAMESERVICE_HINT.format(name=name) if name else ""
        return WebHdfs(self._service("NameNode", urls, others=self.config.other_namenodes, unknown=hint))

    @cached_property
    def _at_gateway(self) -> HttpService:
        """HDFS at the gateway."""
        return self._service("NameNode", list(map(topology, self.config.resourcemanagers)))

    @cached_property
    def nodes(self) -> HttpService:
        """Requests to NodeManagers; each call gives the address."""
        return self._service("NodeManager", [self.resourcemanager.address])

    @cached_property
    def user_key(self) -> UserKey:
        """The user's key."""
        return UserKey(self.hdfs, self.config.staging)

    @cached_property
    def proxy(self) -> HttpService:
        """Requests to ApplicationMasters through the ResourceManager's proxy.

        Their replies are those of users' programs, which must not turn this client to Kerberos.
        """
        return self._service("ApplicationMaster", [self.resourcemanager.address], auth=self._proxy_auth)

    def application_master(
        self, app_id: str, report: Callable[[], ApplicationReport] | None = None
    ) -> ApplicationMasterClient:
        """The API of an application's ApplicationMaster.

        Args:
            app_id: the application.
            report: returns the ResourceManager's present report of it; None: it is fetched.
        """
        proxy = self.proxy
        return ApplicationMasterClient(
            app_id,
            lambda: self.user_key.application_secret(app_id),
            report or (lambda: self.resourcemanager.app(app_id)),
            self.direct,
            lambda: proxy.session,
            self._proxy_auth,
            RETRY_TIMEOUT if self.retry_timeout is None else self.retry_timeout,
            self.clock,
        )

    # -- the staging folder ------------------------------------------------

    def application_folder(self, app_id: str) -> str:
        """An application's folder on HDFS."""
        return f"{self.config.staging}/apps/{app_id}"

    def check_staging(self) -> bool:
        """Check, once, that only the user may write to the staging folder; False when it does not exist.

        Raises:
            StagingError: it belongs to another user, or other users may write there.
        """
        if not self._staging_checked:
            self._staging_checked = check_staging(self.hdfs, self.config.staging)
        return self._staging_checked

    # -- private -----------------------------------------------------------

    @cached_property
    def _auth(self) -> AuthStrategy:
        return self._for_user(self._login)

    @cached_property
    def _proxy_auth(self) -> AuthStrategy:
        login = self._login
        return self._for_user(login.without_detection() if isinstance(login, DetectedAuth) else login)

    def _for_user(self, login: AuthStrategy) -> AuthStrategy:
        other = self.config.get("proxy_user")
        return ActingFor(login, other) if other else login

    @cached_property
    def _login(self) -> AuthStrategy:
        config, auth = self.config, self.config.get("auth")
        if auth == "basic":
            source = ", ".join(f"{name}: {config.settings[name].source}" for name in ("user", "password"))
            return BasicAuth(config.login_user, config.get("password") or "", config.credential_origins, source)
        if auth == "token":
            return TokenAuth(config.login_user, Token(config.settings), config.credential_origins)
        if auth == "simple":
            return SimpleAuth(config.login_user)
        kerberos = KerberosAuth(self._tickets, lambda: config.login_user)
        return (
            kerberos
            if auth == "kerberos"
            else DetectedAuth(SimpleAuth(config.login_user), kerberos, self._use_kerberos)
        )

    @cached_property
    def _tickets(self) -> Tickets:
        cache, keytab, principal = (self.config.get(name) or "" for name in ("ticket_cache", "keytab", "principal"))
        return Tickets(cache, keytab, principal)

    def _principal(self) -> str:
        return self._tickets.principal(self.config.resourcemanagers[0])

    def _use_kerberos(self) -> None:
        """A server has asked for Kerberos: the user is the ticket's from now on."""
        self.config.use_principal(self._principal())
        self.config.fetch_principal = self._principal

    def _service(
        self,
        name: str,
        addresses: Iterable[str],
        *,
        others: Callable[[bool], Iterable[str]] | None = None,
        locate: Callable[[HttpService, str], Route] | None = None,
        unknown: str = "",
        auth: AuthStrategy | None = None,
    ) -> HttpService:
        get = self.config.get
        tls = Tls(get("ca") or "", get("client_certificate") or "", get("client_key") or "")
        endpoint = Endpoint(
            name,
            tuple(addresses),
            auth or self._auth,
            tls,
            proxies=self.config.proxies,
            others=others,
            locate=locate,
            unknown=unknown,
        )
        retry = RetryPolicy(clock=self.clock)
        if self.retry_timeout is not None:
            endpoint = replace(endpoint, timeout=(min(endpoint.timeout[0], self.retry_timeout), self.retry_timeout))
            retry = replace(retry, budget=0)
        service = HttpService(endpoint, retry)
        self._services.append(service)
        return service

    def _fetch_configuration(self) -> HadoopConf | None:
        found = self.resourcemanager.conf()
        if found is None or not found.boolean("yarn.resourcemanager.ha.enabled") or found.get(_OF_HDFS) is not None:
            return found
        # A standby answers this request, too, but has not loaded HDFS's properties.
        with contextlib.suppress(RequestRefused, UnexpectedReply):
            # Only the active one answers this: from now on it is asked first. (A redirect to it is followed for GET only.)
            action = "find the active ResourceManager"
            self.resourcemanager.http.request("HEAD", "/ws/v1/cluster/metrics", action=action)
        return self.resourcemanager.conf() or found

    def _gateway_namenodes(self) -> list[str]:
        service = self._at_gateway
        return list(service.endpoint.addresses) if find_namenode(service) else []

    def _home_folder(self) -> str:
        try:
            return self.hdfs.home()
        except (RequestRefused, UnexpectedReply):  # a gateway without this operation
            return ""


__all__ = ["Cluster"]
