"""What the tests of a specification's fields need besides a cluster: its settings, and looks at what runs there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import psutil
import pytest

from knit_core import Application, Knit
from knit_core.errors import MasterUnreachable
from knit_core.local.plan import running_user
from knit_core.model.result import Container
from tests.cluster_harness import eventually

NODE_1, NODE_2 = "localhost", "127.0.0.2"  # as YARN names them
LICENSE, GPU = "example.org/license", "yarn.io/gpu"
ROOT = "yarn.scheduler.capacity.root"
_direct = build_opener(ProxyHandler({}))


def settings(folder: Path) -> dict[str, str]:
    """Hadoop properties that switch on what can be switched on."""
    table = folder / "topology"
    table.write_text(f"127.0.0.1 /rack-a\n{NODE_1} /rack-a\n{NODE_2} /rack-b\n")
    return {
        "net.topology.node.switch.mapping.impl": "org.apache.hadoop.net.TableMapping",
        "net.topology.table.file.name": str(table),
        # the NodeManagers' pages take users by name, too; else everybody would be dr.who there
        "hadoop.http.filter.initializers": "org.apache.hadoop.security.AuthenticationFilterInitializer",
        "yarn.acl.enable": "true",
        "yarn.admin.acl": running_user(),
        f"{ROOT}.acl_administer_queue": " ",  # who administers a queue may do everything to its applications
        "yarn.cluster.max-application-priority": "10",
        "yarn.resourcemanager.am.max-attempts": "3",
        "yarn.node-labels.enabled": "true",
        "yarn.node-labels.fs-store.root-dir": f"file://{folder}/node-labels",
        f"{ROOT}.accessible-node-labels.ssd.capacity": "100",
        f"{ROOT}.default.accessible-node-labels": "ssd",
        f"{ROOT}.default.accessible-node-labels.ssd.capacity": "100",
        f"{ROOT}.science.accessible-node-labels": " ",
        f"{ROOT}.science.maximum-application-lifetime": "7200",
        "yarn.scheduler.capacity.resource-calculator": "org.apache.hadoop.yarn.util.resource.DominantResourceCalculator",
        "yarn.resource-types": f"{GPU},{LICENSE}",
        f"yarn.nodemanager.resource-type.{GPU}": "2",
        f"yarn.nodemanager.resource-type.{LICENSE}": "3",
        "yarn.resourcemanager.opportunistic-container-allocation.enabled": "true",
        "yarn.nodemanager.opportunistic-containers-max-queue-length": "10",
        "yarn.nodemanager.log-aggregation.roll-monitoring-interval-seconds": "1",
        "yarn.nodemanager.log-aggregation.roll-monitoring-interval-seconds.min": "1",
        "yarn.resourcemanager.application-timeouts.monitor.interval-ms": "300",
    }


def http(url: str, user: str, body: Any = None, accept: str = "application/json") -> bytes:
    """GET, or POST of a body, as `user`."""
    request = Request(f"{url}?user.name={user}", headers={"Accept": accept, "Content-Type": "application/json"})
    if body is not None:
        request.data = json.dumps(body).encode()
    with _direct.open(request, timeout=20) as reply:
        content: bytes = reply.read()
    return content


def rm(address: str, path: str, body: Any = None, user: str = "") -> Any:
    """JSON from the ResourceManager at `address`; as the administrator when no user is named."""
    content = http(f"{address}/ws/v1/cluster/{path}", user or running_user(), body)
    return json.loads(content) if content.strip().startswith(b"{") else None


def readable(url: str, user: str) -> bool:
    """Whether there is something at `url`; False while there is not.

    Raises:
        HTTPError: the user may not read it.
    """
    try:
        return bool(http(url, user, accept="text/plain"))
    except HTTPError as error:
        if error.code == 404:  # not written yet
            return False
        raise


def seen(app: Application) -> dict[str, Any]:
    """As the ResourceManager describes it."""
    found: dict[str, Any] = rm(app.cluster.resourcemanager.address, f"apps/{app.id}", user="alice")["app"]
    return found


@contextmanager
def running(knit: Knit, spec: Any, *, checks: bool = True, **short: Any) -> Iterator[Application]:
    """An application that runs, and is ended."""
    app = knit.submit(spec, checks=checks, **short)
    try:
        yield app
    finally:
        app.kill("the test is over", grace=5)


def placed(app: Application, service: str) -> list[str]:
    """Hosts of a service's running containers."""
    return sorted(row.host for row in live(app, service))


def live(app: Application, service: str = "main") -> list[Container]:
    """A service's running containers."""
    try:
        rows = app.containers()
    except MasterUnreachable:  # not yet
        return []
    return [row for row in rows if row.service == service and str(row.state) == "RUNNING"]


def until_runs(app: Application, count: int, service: str = "main", timeout: float = 60) -> list[Container]:
    found: list[Container] = eventually(
        lambda: (rows := live(app, service)) and len(rows) >= count and rows, timeout, f"{count} of {service} run"
    )
    return found


def master_process(app: Application, attempt: int) -> psutil.Process:
    """The ApplicationMaster's JVM."""
    report = eventually(
        lambda: (r := app.report()).attempt >= attempt and r.master and r, 60, f"attempt {attempt} of {app.id} runs"
    )
    container = re.search(r"container_[0-9_]+", report.master_logs)
    assert container is not None
    for process in psutil.process_iter(["name", "pid"]):
        try:
            variables = process.environ() if process.info["name"] == "java" else {}
        except psutil.Error:
            continue
        if variables.get("CONTAINER_ID") == container[0]:
            return process
    pytest.fail(f"no process of {container[0]}")
