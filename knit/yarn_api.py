"""`YARNAPI` of knit 0.2.4: answers of the ResourceManager's REST API as plain dictionaries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from knit.configuration import address
from knit.containers import logs_of, row_of, states_of
from knit.exceptions import YARNException, translated, yarn_errors
from knit.notices import warn_old
from knit.refusals import refusing
from knit.system_logs import system_logs
from knit_core import Knit
from knit_core.config import Value
from knit_core.errors import ApplicationNotFound, LogsUnavailable
from knit_core.model.ids import ContainerId
from knit_core.model.lenient_json import rows

_NOT_ENDED = "NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING"
_ENDED = 30.0  # seconds in which an application that is killed ends
Dict = dict[str, Any]
__getattr__ = refusing(__name__)


class YARNAPI:
    """Calls to one ResourceManager.

    Args:
        rm, rm_port, scheme: its address.
        gateway_path: path prefix of a gateway such as Knox.
        kerberos: use a Kerberos ticket; without it that happens when the cluster asks for it.
        username, password: the user. A password is for a gateway.

    Attributes:
        url: of the REST API.
        host_port: `host:port`.
    """

    def __init__(
        self,
        rm: str,
        rm_port: int | str = 8088,
        scheme: str = "http",
        gateway_path: str = "",
        kerberos: bool = False,
        username: str | None = None,
        password: str | None = None,
        *,
        _client: Knit | None = None,
    ) -> None:
        self.rm, self.rm_port, self.scheme, self.gateway_path = rm, rm_port, scheme, gateway_path
        self.host_port = f"{rm}:{rm_port}"
        self.url = f"{scheme}://{self.host_port}{gateway_path.rstrip('/')}/ws/v1/"
        self.username, self.password = username, password
        auth = "kerberos" if kerberos else "basic" if password else None
        options = {"auth": auth, "password": password, "gateway_path": gateway_path or None}
        with translated():
            self._client = _client or Knit(address(rm, rm_port, scheme), user=username, options=options)

    def __repr__(self) -> str:
        return f"YARNAPI<{self._client.resourcemanager.address}>"

    @property
    def auth(self) -> tuple[str, str] | None:
        """User and password; None without a password. Another value holds for later calls."""
        return (self.username or "", self.password) if self.password else None

    @auth.setter
    def auth(self, pair: tuple[str, str] | None) -> None:
        self.username, self.password = pair or (self.username, None)
        settings = {
            key: value for key, value in self._client.config.settings.items() if key not in {"auth", "password"}
        }
        source = "YARNAPI.auth"
        if pair:
            settings |= {
                "user": Value(pair[0], source),
                "password": Value(pair[1], source, True),
                "auth": Value("basic", source),
            }
        self._connect(settings, self._client.retry_timeout)

    @property
    def timeout(self) -> float | None:
        """Seconds to wait for a reply; None: requests are repeated during longer outages. Another value holds for later calls."""
        return self._client.retry_timeout

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        self._connect(dict(self._client.config.settings), seconds)

    def _connect(self, settings: dict[str, Value], timeout: float | None) -> None:
        config = replace(self._client.config, settings=settings, remote=None, home=None, fetch_principal=None)
        with translated():
            self._client = Knit(config=config)
        self._client.retry_timeout = timeout

    def _get(self, path: str, *keys: str) -> Any:
        """JSON from a path below /ws/v1/cluster; YARN sends null for empty objects."""
        with yarn_errors():
            found = self._client.resourcemanager.http.get_json(f"/ws/v1/cluster{path}", action=f"read {path}")
        for key in keys:
            found = (found or {}).get(key)
        return found

    def _list(self, path: str, *keys: str) -> list[Dict]:
        """A list in `_get`; YARN sends one without brackets when it has one element."""
        return [dict(row) for row in rows(self._get(path), *keys)]

    @property
    def apps(self) -> list[str]:
        """Ids of all applications in YARN's list."""
        return [row["id"] for row in self.apps_info()]

    def apps_info(self, app_id: str | None = None) -> Any:
        """All applications; with an id, the dictionary of one."""
        return self._get(f"/apps/{app_id}", "app") if app_id else self._list("/apps", "apps", "app")

    def app_attempts(self, app_id: str) -> list[Dict]:
        """The application's attempts."""
        return self._list(f"/apps/{app_id}/appattempts", "appAttempts", "appAttempt")

    def app_containers(self, app_id: str | None = None, info: Dict | None = None) -> list[Dict]:
        """The present containers of an application on all nodes, that of the ApplicationMaster first.

        Args:
            app_id: the application.
            info: a dictionary of `apps_info`, in place of `app_id`.

        Returns:
            Dictionaries with `id`, `state`, `nodeId`, `exitCode`, `diagnostics`, `user`, `totalMemoryNeededMB`,
            `totalVCoresNeeded`, `containerLogsLink` and `nodeHttpAddress`; empty before the start and after the end.

        Raises:
            TypeError: both or neither are given.
        """
        if (app_id is None) == (info is None):
            raise TypeError("app_containers takes an application's id, or its info")
        info = info if info is not None else self.status(str(app_id))
        attempts = self.app_attempts(info["id"])
        if not attempts:
            return []
        name = info["id"].replace("application", "appattempt") + f"_{int(attempts[-1]['id']):06d}"
        reply = self._get(f"/apps/{info['id']}/appattempts/{name}/containers")
        listed = rows(reply, "containers", "container") or rows(reply, "container")  # by the version of Hadoop
        states = states_of(self._client.attach(info["id"])) if listed else {}
        found = [row_of(row, str(info.get("user") or ""), states) for row in listed]
        return sorted(found, key=lambda row: row["id"])

    def logs(self, app_id: str, shell: bool = False, retries: int = 4, delay: float = 3) -> dict[str, Dict]:
        """`name`, `nodeId`, `stdout` and `stderr` by container id, while the application runs or after its end.

        All containers are there, also those without output and the ApplicationMaster's (`name`: master).

        Args:
            app_id: the application.
            shell: has no effect: the `yarn` program is never used.
            retries, delay: number of retries, and seconds between them, while YARN is still aggregating the logs.
        """
        if shell:
            warn_old("logs(shell=True)", "logs(): it reads aggregated logs, too, without the yarn program")
        with yarn_errors():
            app = self._client.attach(app_id)
            for left in range(retries, -1, -1):
                try:
                    return logs_of(app, delay)
                except LogsUnavailable:
                    if not left:
                        raise
        raise YARNException(f"retries is a number of 0 or more, not {retries}")

    def container_status(self, container_id: str) -> str:
        """State of a container; `container_id` is YARN's id."""
        try:
            found = ContainerId.parse(container_id)
        except ValueError as error:
            raise YARNException(str(error)) from None
        with yarn_errors():
            for row in self._client.attach(str(found.application)).containers():
                if row.yarn == container_id:
                    return str(row.state)
        raise YARNException(f"The application has no container {container_id}")

    def state(self, app_id: str) -> str:
        """YARN's state of the application; KILLED also when its ApplicationMaster ended it for `kill`."""
        found = self.status(app_id)
        killed = found["state"] == "FINISHED" and found.get("finalStatus") == "KILLED"
        return "KILLED" if killed else str(found["state"])

    def status(self, app_id: str) -> Dict:
        """The ResourceManager's `app` object of the application."""
        found: Dict = self._get(f"/apps/{app_id}", "app")
        return found

    def kill(self, app_id: str) -> bool:
        """End an application; False when it had already ended."""
        with yarn_errors():
            app = self._client.attach(app_id)
            try:
                if app.report().ended:
                    return False
                self._client.resourcemanager.kill(app_id)
            except ApplicationNotFound:
                return False
            clock = self._client.clock
            deadline = clock.monotonic() + _ENDED
            while not app.report().ended and clock.monotonic() < deadline:
                clock.sleep(0.1)
            return True

    def kill_all(self, knit_only: bool = True) -> bool:
        """End all running applications of this user; with `knit_only`, only Knit's."""
        found = self._list(f"/apps?states={_NOT_ENDED}", "apps", "app")
        mine = [row for row in found if not knit_only or row.get("applicationType", "").upper() == "KNIT"]
        return all([self.kill(row["id"]) for row in mine if row.get("user") == self._client.config.user])

    def cluster_info(self) -> Dict:
        """`clusterInfo`: state, versions."""
        return dict(self._get("/info", "clusterInfo"))

    def cluster_metrics(self) -> Dict:
        """`clusterMetrics`: counts of applications, containers, nodes, memory."""
        return dict(self._get("/metrics", "clusterMetrics"))

    def scheduler(self) -> Dict:
        """`scheduler`: its `schedulerInfo` has the queues and their usage."""
        return dict(self._get("/scheduler", "scheduler"))

    def app_stats(self) -> Dict:
        """`appStatInfo`: its `statItem` has counts of applications by state and type."""
        return dict(self._get("/appstatistics", "appStatInfo"))

    def nodes(self) -> list[Dict]:
        """The nodes."""
        return self._list("/nodes", "nodes", "node")

    def system_logs(self) -> Dict:
        """Where the daemons on this machine write their logs: see `knit.system_logs`. `rm_logs` is the address of the
        ResourceManager's page with its log files."""
        address = self._client.resourcemanager.address
        return {**system_logs(self.rm, self.nodes()), "rm_logs": f"{address}/logs/"}
