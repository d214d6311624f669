"""Containers and logs of an application in the shapes of knit 0.2.4. Pure, but for `logs_of` and `states_of`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from knit_core import Application
from knit_core.errors import KnitError, LogsUnavailable
from knit_core.model.ids import ContainerId
from knit_core.model.lenient_json import number

Dict = dict[str, Any]
MASTER = "master"


def states_of(app: Application) -> dict[str, str]:
    """States by container id from the ApplicationMaster; empty when it does not answer.

    To the ResourceManager a container runs as soon as it is allocated.
    """
    try:
        return {row.yarn: str(row.state) for row in app.containers(retry_timeout=0) if row.yarn}
    except KnitError:
        return {}


def row_of(row: Mapping[str, Any], user: str, states: Mapping[str, str]) -> Dict:
    """A container with the NodeManager's keys, from the ResourceManager's reply (`…/appattempts/…/containers`).

    Args:
        row: of the ResourceManager.
        user: the application's.
        states: of `states_of`.
    """
    state = str(row.get("containerState") or "")
    ended = state == "COMPLETE"
    state = states.get(str(row.get("containerId")), state)
    return {
        "id": str(row.get("containerId") or ""),
        "state": state,
        "exitCode": number(row.get("containerExitStatus")) if ended else -1000,
        "diagnostics": str(row.get("diagnosticsInfo") or ""),
        "user": user,
        "totalMemoryNeededMB": number(row.get("allocatedMB")),
        "totalVCoresNeeded": number(row.get("allocatedVCores")),
        "containerLogsLink": str(row.get("logUrl") or ""),
        "nodeId": str(row.get("assignedNodeId") or row.get("nodeId") or ""),
        "nodeHttpAddress": str(row.get("nodeHttpAddress") or ""),
    }


def logs_of(app: Application, timeout: float) -> dict[str, Dict]:
    """stdout and stderr of all containers by YARN's id, the ApplicationMaster's among them; empty where nothing was written.

    Args:
        app: the application.
        timeout: seconds to wait for the aggregated logs after its end.

    Raises:
        LogsUnavailable: there are none at all.
        KnitError: the ResourceManager does not answer, or has no record of it.
    """
    report = app.report()
    found: dict[str, Dict] = {}
    if (master := ContainerId.search(report.master_logs)) is not None:
        found[str(master)] = _entry(MASTER, report.master_logs.partition("://")[2].partition("/")[0])
    try:
        for row in app.containers():
            if row.yarn:
                found[row.yarn] = _entry(row.id, row.node)
    except KnitError:
        pass  # no ApplicationMaster and no result: the logs say which containers there were
    missing = None
    for containers in (None, [MASTER]):
        try:
            for line in app.logs(containers=containers, timeout=timeout):
                entry = found.setdefault(line.yarn or line.container, _entry(line.container, line.node))
                if line.stream in {"stdout", "stderr"}:
                    entry[line.stream] += line.text + "\n"
        except LogsUnavailable as error:
            missing = missing or error
    if missing is not None and not any(entry["stdout"] or entry["stderr"] for entry in found.values()):
        raise missing
    return found


def _entry(name: str, node: str) -> Dict:
    return {"name": name, "nodeId": node, "stdout": "", "stderr": ""}


__all__ = ["logs_of", "row_of", "states_of"]
