"""knit 0.2.4's `YARNAPI`: the ResourceManager's REST API in YARN's own words (plain dictionaries)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from knit.configuration import address
from knit.exceptions import KnitException, YARNException, translated
from knit_core import Knit
from knit_core.errors import ApplicationNotFound, LogsUnavailable

_LIVING = "NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING"
Dict = dict[str, Any]


class YARNAPI:
    """Calls to one ResourceManager.

    Args:
        rm, rm_port, scheme: where it is.
        gateway_path: path prefix of a gateway such as Knox.
        kerberos: refused for now; give a gateway with a password instead.
        username, password: who asks.
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
            raise KnitException("kerberos=True is not possible yet: ask through a gateway with username and password")
        self.rm, self.rm_port, self.scheme, self.gateway_path = rm, rm_port, scheme, gateway_path
        options = {"auth": "basic" if password else None, "password": password, "gateway_path": gateway_path or None}
        with translated():
            self._client = _client or Knit(address(rm, rm_port, scheme), user=username, options=options)

    def __repr__(self) -> str:
        return f"YARNAPI<{self._client.resourcemanager.address}>"

    def _get(self, path: str, *keys: str) -> Any:
        """JSON from below /ws/v1/cluster; empty YARN objects come as null."""
        with _yarn():
            found = self._client.resourcemanager.http.get_json(f"/ws/v1/cluster{path}", action=f"read {path}")
        for key in keys:
            found = (found or {}).get(key)
        return found

    @property
    def apps(self) -> list[str]:
        """Ids of all applications that YARN knows."""
        return [row["id"] for row in self.apps_info()]

    def apps_info(self, app_id: str | None = None) -> Any:
        """All applications, or one (then a dictionary)."""
        return self._get(f"/apps/{app_id}", "app") if app_id else self._get("/apps", "apps", "app") or []

    def app_attempts(self, app_id: str) -> list[Dict]:
        """The application's attempts."""
        return self._get(f"/apps/{app_id}/appattempts", "appAttempts", "appAttempt") or []

    def app_containers(self, app_id: str | None = None, info: Dict | None = None) -> list[str]:
        """Ids of its containers, wherever they run; `info` is a dictionary of `apps_info`."""
        found = app_id or (info or {}).get("id")
        if not found:
            raise KnitException("app_containers needs an application's id or its info")
        with _yarn():
            return [row.yarn for row in self._client.attach(found).containers() if row.yarn]

    def logs(self, app_id: str, shell: bool = False, retries: int = 4, delay: float = 3) -> dict[str, Dict]:
        """stdout and stderr by container id, live or after the end.

        Args:
            app_id: which.
            shell: kept for compatibility; the `yarn` program is never used.
            retries, delay: how often, after how many seconds, is looked again for logs that YARN is still collecting.
        """
        with _yarn():
            app = self._client.attach(app_id)
            for left in range(retries, -1, -1):
                found: dict[str, Dict] = {}
                try:
                    for line in app.logs(timeout=delay):
                        row = found.setdefault(line.yarn or line.container, _empty(line.container, line.node))
                        if line.stream in {"stdout", "stderr"}:
                            row[line.stream] += line.text + "\n"
                except LogsUnavailable:
                    if not left:
                        raise
                    continue
                break
            return found

    def container_status(self, container_id: str) -> str:
        """State of a container, by YARN's id."""
        parts = container_id.split("_")
        number = [part for part in parts[1:] if not part.startswith("e")]
        if len(number) < 2:
            raise KnitException(f"{container_id!r} is not a container id")
        with _yarn():
            for row in self._client.attach(f"application_{number[0]}_{number[1]}").containers():
                if row.yarn == container_id:
                    return str(row.state)
        raise YARNException(f"{container_id} is not known to its application")

    def state(self, app_id: str) -> str:
        """YARN's state."""
        return str(self._get(f"/apps/{app_id}/state", "state"))

    def status(self, app_id: str) -> Dict:
        """The ResourceManager's `app` object."""
        found: Dict = self._get(f"/apps/{app_id}", "app")
        return found

    def kill(self, app_id: str) -> bool:
        """End it; whether it was there to be ended."""
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
        """End all applications that run; only Knit's own unless told otherwise. Those of others are left."""
        rows = self._get(f"/apps?states={_LIVING}", "apps", "app") or []
        mine = [row for row in rows if not knit_only or row.get("applicationType", "").upper() == "KNIT"]
        return all([self.kill(row["id"]) for row in mine if row.get("user") == self._client.config.user])

    def cluster_info(self) -> Dict:
        """`clusterInfo`: state, versions."""
        return dict(self._get("/info", "clusterInfo"))

    def cluster_metrics(self) -> Dict:
        """`clusterMetrics`: counts of applications, containers, nodes, memory."""
        return dict(self._get("/metrics", "clusterMetrics"))

    def scheduler(self) -> Dict:
        """`schedulerInfo`: queues and their use."""
        return dict(self._get("/scheduler", "scheduler", "schedulerInfo"))

    def app_stats(self) -> list[Dict]:
        """Counts of applications by state and type."""
        return self._get("/appstatistics", "appStatInfo", "statItem") or []

    def nodes(self) -> list[Dict]:
        """The nodes."""
        return self._get("/nodes", "nodes", "node") or []

    def system_logs(self) -> str:
        """What the ResourceManager's `/logs/` page says: links to its log files."""
        with _yarn():
            rm = self._client.resourcemanager
            return rm.http.request("GET", "/logs/", action="list the log files").text


def _empty(container: str, node: str) -> Dict:
    return {"name": container, "nodeId": node, "stdout": "", "stderr": ""}


@contextmanager
def _yarn() -> Iterator[None]:
    """Every refusal of YARN as YARNException."""
    try:
        with translated():
            yield
    except YARNException:
        raise
    except KnitException as error:
        raise YARNException(str(error)) from error
