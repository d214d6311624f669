"""The state of one daemon of a cluster, from the process table and its web page."""

from __future__ import annotations

from knit_core.local import daemons
from knit_core.local.configuration_files import Setup
from knit_core.local.errors import NotRunning
from knit_core.local.processes import ProcessRecord
from knit_core.local.records import DaemonStatus


def url_of(setup: Setup, name: str) -> str:
    """The address of a daemon's page; empty when it has none.

    Raises:
        NotRunning: there is no such daemon.
    """
    if daemons.kind(name) in daemons.WITHOUT_PAGE:
        return ""
    port = setup.ports.get(daemons.web_port(name))
    if port is None:
        raise NotRunning(f"There is no daemon {name!r} in {setup.state}.")
    return f"{setup.scheme}://{setup.node_host(daemons.node_number(name) or 1)}:{port}"


def daemon_status(setup: Setup, name: str) -> DaemonStatus:
    """The state of a daemon; a running one is asked whether it serves."""
    process = ProcessRecord.read(daemons.pid_file(setup.state, name))
    problem = ""
    lines: tuple[str, ...] = ()
    if process and process.alive:
        problem = daemons.unready(name, setup) or ""
        state = "starting" if problem else "running"
    elif process:
        state, problem = "dead", "ended by itself or was killed"
        lines = tuple(daemons.last_lines(setup.state, name, 8))
    else:
        state = "stopped"
    return DaemonStatus(
        name=name,
        state=state,
        pid=process.pid if process and state in ("running", "starting") else None,
        port=setup.ports[daemons.web_port(name) if daemons.kind(name) == daemons.RESOURCEMANAGER else name],
        url=url_of(setup, name),
        log=str(daemons.log_file(setup.state, name)),
        problem=problem,
        last_lines=lines,
    )
