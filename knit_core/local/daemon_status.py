"""The state of a cluster and of its daemons, from the process table and their web pages."""

from __future__ import annotations

from knit_core.local import daemons
from knit_core.local.configuration_files import Setup
from knit_core.local.errors import NotRunning
from knit_core.local.gateways import knox_files
from knit_core.local.gateways.httpfs import HTTPFS
from knit_core.local.processes import ProcessRecord
from knit_core.local.records import ClusterStatus, DaemonStatus, Record


def url_of(setup: Setup, name: str) -> str:
    """The address of a daemon's page; empty when it has none.

    Raises:
        NotRunning: there is no such daemon.
    """
    if daemons.kind(name) in daemons.WITHOUT_PAGE:
        return ""
    if name == knox_files.KNOX and setup.knox:
        return knox_files.address(setup)
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


def cluster_status(record: Record) -> ClusterStatus:
    """The state of a cluster and of each of its daemons."""
    setup = record.setup
    names = daemons.names_of(setup)
    seen = tuple(daemon_status(setup, name) for name in names)
    states = {daemon.state for daemon in seen}
    state = next(iter(states)) if len(states) == 1 else "starting" if states == {"running", "starting"} else "broken"
    return ClusterStatus(
        state="broken" if state == "dead" else state,
        state_dir=str(setup.state),
        conf_dir=str(setup.conf_dir),
        resourcemanager_url=setup.url("resourcemanager-http"),
        namenode_url=setup.url("namenode-http"),
        nodes=setup.nodes,
        recovery=setup.recovery,
        queues=tuple(setup.queues),
        settings=dict(setup.settings),
        kerberos=setup.kerberos,
        tls=setup.tls,
        users=tuple(setup.users),
        ha=setup.ha,
        java=record.java.version,
        java_home=str(record.java.home),
        hadoop=setup.hadoop,
        jars=str(setup.jars),
        daemons=seen,
        scheduler=setup.scheduler,
        httpfs=setup.httpfs,
        httpfs_url=setup.url(HTTPFS) if setup.httpfs else "",
        knox=setup.knox,
        knox_url=knox_files.address(setup) if setup.knox else "",
    )
