"""`YARNAPI` of knit 0.2.4: answers of the ResourceManager's REST API as plain dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from knit.configuration import address
from knit.exceptions import KnitException, YARNException, translated
from knit_core import Knit
from knit_core.errors import ApplicationNotFound, LogsUnavailable

_NOT_ENDED = "NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING"
Dict = dict[str, Any]


class YARNAPI:
    """Calls to one ResourceManager.

    Args:
        rm, rm_port, scheme: its address.
        gateway_path: path prefix of a gateway such as Knox.
        kerberos: not supported yet; use a gateway with a password instead.
        username, password: the user.
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
        if kerberos:
            raise KnitException("kerberos=True is not supported yet: use a gateway with username and password")
        self.rm, self.rm_port, self.scheme, self.gateway_path = rm, rm_port, scheme, gateway_path
        options = {"auth": "basic" if password else None, "password": password, "gateway_path": gateway_path or None}
        with translated():
            self._client = _client or Knit(address(rm, rm_port, scheme), user=username, options=options)

    def __repr__(self) -> str:
        return f"YARNAPI<{self._client.resourcemanager.address}>"

    def _get(self, path: str, *keys: str) -> Any:
        """JSON from a path below /ws/v1/cluster; YARN sends null for empty objects."""
        with _yarn():
            found = self._client.resourcemanager.http.get_json(f"/ws/v1/cluster{path}", action=f"read {path}")
        for key in keys:
            found = (found or {}).get(key)
        return found

    @property
    def apps(self) -> list[str]:
        """Ids of all applications in YARN's list."""
        return [row["id"] for row in self.apps_info()]

    def apps_info(self, app_id: str | None = None) -> Any:
        """All applications; with an id, the dictionary of one."""
        return self._get(f"/apps/{app_id}", "app") if app_id else self._get("/apps", "apps", "app") or []

    def app_attempts(self, app_id: str) -> list[Dict]:
        """The application's attempts."""
        return self._get(f"/apps/{app_id}/appattempts", "appAttempts", "appAttempt") or []

    def app_containers(self, app_id: str | None = None, info: Dict | None = None) -> list[str]:
        """Ids of an application's containers; `info` is a dictionary of `apps_info`."""
        found = app_id or (info or {}).get("id")
        if not found:
            raise KnitException("app_containers needs an application's id or its info")
        with _yarn():
            return [row.yarn for row in self._client.attach(found).containers() if row.yarn]

    def logs(self, app_id: str, shell: bool = False, retries: int = 4, delay: float = 3) -> dict[str, Dict]:
        """stdout and stderr by container id, while the application runs or after its end.

        Args:
            app_id: the application.
            shell: kept for compatibility: the `yarn` program is never used.
            retries, delay: number of retries, and seconds between them, while YARN is still aggregating the logs.
        """
        with _yarn():
            app = self._client.attach(app_id)
            for left in range(retries, -1, -1):
                found: dict[str, Dict] = {}
                try:
                    for line in app.logs(timeout=delay):
                        row = found.setdefault(line.yarn or line.container, _entry(line.container, line.node))
                        if line.stream in {"stdout", "stderr"}:
                            row[line.stream] += line.text + "\n"
                except LogsUnavailable:
                    if not left:
                        raise
                    continue
                break
            return found

    def container_status(self, container_id: str) -> str:
        """State of a container; `container_id` is YARN's id."""
        parts = container_id.split("_")
        number = [part for part in parts[1:] if not part.startswith("e")]
        if len(number) < 2:
            raise KnitException(f"{container_id!r} is not a container id")
        with _yarn():
            for row in self._client.attach(f"application_{number[0]}_{number[1]}").containers():
                if row.yarn == container_id:
                    return str(row.state)
        raise YARNException(f"The application has no container {container_id}")

    def state(self, app_id: str) -> str:
        """YARN's state of the application."""
        return str(self._get(f"/apps/{app_id}/state", "state"))

    def status(self, app_id: str) -> Dict:
        """The ResourceManager's `app` object of the application."""
        found: Dict = self._get(f"/apps/{app_id}", "app")
        return found

    def kill(self, app_id: str) -> bool:
        """End an application; False when it had already ended."""
        with _yarn():
            app = self._client.attach(app_id)
            try:
                if app.report().ended:
                    return False
                self._client.resourcemanager.kill(app_id)
            except ApplicationNotFound:
                return False
            clock = self._client.clock
            deadline = clock.monotonic() + 30
            while not app.report().ended and clock.monotonic() < deadline:
                clock.sleep(0.1)
            return True

    def kill_all(self, knit_only: bool = True) -> bool:
        """End all running applications of this user; with `knit_only`, only Knit's."""
        rows = self._get(f"/apps?states={_NOT_ENDED}", "apps", "app") or []
        mine = [row for row in rows if not knit_only or row.get("applicationType", "").upper() == "KNIT"]
        return all([self.kill(row["id"]) for row in mine if row.get("user") == self._client.config.user])

    def cluster_info(self) -> Dict:
        """`clusterInfo`: state, versions."""
        return dict(self._get("/info", "clusterInfo"))

    def cluster_metrics(self) -> Dict:
        """`clusterMetrics`: counts of applications, containers, nodes, memory."""
        return dict(self._get("/metrics", "clusterMetrics"))

    def scheduler(self) -> Dict:
        """`schedulerInfo`: queues and their usage."""
        return dict(self._get("/scheduler", "scheduler", "schedulerInfo"))

    def app_stats(self) -> list[Dict]:
        """Counts of applications by state and type."""
        return self._get("/appstatistics", "appStatInfo", "statItem") or []

    def nodes(self) -> list[Dict]:
        """The nodes."""
        return self._get("/nodes", "nodes", "node") or []

    def system_logs(self) -> str:
        """The ResourceManager's page `/logs/`: links to its log files."""
        with _yarn():
            rm = self._client.resourcemanager
            return rm.http.request("GET", "/logs/", action="list the log files").text


def _entry(container: str, node: str) -> Dict:
    return {"name": container, "nodeId": node, "stdout": "", "stderr": ""}


@contextmanager
def _yarn() -> Iterator[None]:
    """Convert every error to YARNException."""
    try:
        with translated():
            yield
    except YARNException:
        raise
    except KnitException as error:
        raise YARNException(str(error)) from error
