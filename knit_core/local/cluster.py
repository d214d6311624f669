"""The embedded cluster as an object: up, down, status, restart, kill, logs."""

from __future__ import annotations

import getpass
import os
import pwd
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from knit_core.local import bringup, configuration_files, daemons, jars, ports, processes
from knit_core.local.configuration_files import Setup
from knit_core.local.errors import DaemonFailed, LocalClusterError, NotRunning
from knit_core.local.java import find_java
from knit_core.local.locks import locked
from knit_core.local.paths import HADOOP_VERSION, cache_root, default_state_dir, jars_root
from knit_core.local.processes import ProcessRecord
from knit_core.local.records import ClusterStatus, DaemonStatus, Record, Step

Progress = Callable[[Step], None]
GRACE = 6.0  # seconds between SIGTERM and SIGKILL: a NodeManager ends its containers first
MOST_NODES = 64


class LocalCluster:
    """A cluster of real Hadoop daemons on this machine's loopback addresses.

    Args:
        state_dir: its folder; clusters in different folders live side by side. None: `$KNIT_LOCAL_STATE`, or the user's
            default one.
    """

    def __init__(self, state_dir: str | os.PathLike[str] | None = None) -> None:
        self.state_dir = Path(state_dir).expanduser().absolute() if state_dir is not None else default_state_dir()

    def __repr__(self) -> str:
        return f"LocalCluster({str(self.state_dir)!r})"

    # -- where things are --------------------------------------------------------------------------------------------

    @property
    def conf_dir(self) -> Path:
        """The Hadoop configuration folder: what HADOOP_CONF_DIR should be."""
        return self.state_dir / "conf"

    @property
    def resourcemanager_url(self) -> str:
        """Raises NotRunning when the cluster was never brought up."""
        return f"http://{self._record().setup.at('resourcemanager-http')}"

    @property
    def namenode_url(self) -> str:
        """Where WebHDFS is. Raises NotRunning when the cluster was never brought up."""
        return f"http://{self._record().setup.at('namenode-http')}"

    def nodemanager_url(self, node: int = 1) -> str:
        """The page of NodeManager `node` (from 1). Raises NotRunning when there is no such node."""
        return self._url(self._record().setup, daemons.nodemanager(node))

    @property
    def is_running(self) -> bool:
        """Are the processes of NameNode and ResourceManager alive? (A look at the process table, no more.)"""
        return Record.read(self.state_dir) is not None and all(
            self._alive(name) for name in (daemons.NAMENODE, daemons.RESOURCEMANAGER)
        )

    # -- what it does ------------------------------------------------------------------------------------------------

    def up(
        self,
        nodes: int | None = None,
        recovery: bool | None = None,
        settings: Mapping[str, str] | None = None,
        queues: Sequence[str] | None = None,
        progress: Progress | None = None,
        timeout: float = 120.0,
    ) -> ClusterStatus:
        """Start what is not running and wait until everything serves. Calling it again is harmless.

        Args:
            nodes: NodeManagers (default 1); a running cluster gets more when it has fewer.
            recovery: the ResourceManager keeps applications over its restart (default False).
            settings: Hadoop properties, by name; they beat all others. `nodemanager-2:<property>` is for that
                NodeManager alone (a cluster in the middle of a change, say).
            queues: leaf queues (default: `default`).
            progress: called with each step as it goes on.
            timeout: seconds for the start, without the download.

        Raises:
            NoJava, JarsUnavailable: what the daemons need is not there and could not be fetched.
            DaemonFailed: a daemon did not start; whatever this call started is stopped again.
            LocalClusterError: the cluster runs with other settings, or the arguments make no sense.
        """
        say = progress or (lambda step: None)
        _check_arguments(nodes, queues)
        with self._locked(say):
            record = self._plan(nodes, recovery, settings, queues, say)
            missing = [name for name in daemons.daemon_names(record.setup.nodes) if not self._alive(name)]
            fresh = not self._living()
            begun = time.monotonic()
            try:
                self._bring_up(record, missing, begun + timeout, say)
            except DaemonFailed as error:
                if not (fresh and _port_was_taken(str(error))):
                    raise
                # Somebody took a port between our look and the daemon's start: others, once.
                setup = record.setup
                record = replace(
                    record, setup=replace(setup, ports=ports.choose(setup.nodes, {}, prefer_well_known=False))
                )
                self._bring_up(record, missing, begun + timeout, say)
            status = self.status()
            took = f"ready in {time.monotonic() - begun:.0f} s" if missing else "was running already"
            parts = " · ".join(f"{daemon.name} {daemon.port}" for daemon in status.daemons)
            say(Step("daemons", f"{parts}      {took}", done=True))
            return status

    def down(self, delete: bool = False, progress: Progress | None = None) -> int:
        """End the daemons and everything that runs in their containers, and wait until it is gone.

        Args:
            delete: remove the cluster's folder too, HDFS's content and the logs included.
            progress: called with each step.

        Returns:
            How many daemons were running.
        """
        say = progress or (lambda step: None)
        if not self.state_dir.exists():
            return 0
        with self._locked(say):
            count = self._stop(self._names(), say, grace=0.0 if delete else GRACE)  # nothing is left to be saved
            if delete:
                bringup.remove(self.state_dir)
            return count

    def restart(
        self, only: Sequence[str] = (), progress: Progress | None = None, timeout: float = 120.0
    ) -> ClusterStatus:
        """End daemons and start them again with the same settings.

        Args:
            only: daemon names (`resourcemanager`, `nodemanager-2` …); empty: all.
            progress: called with each step.
            timeout: seconds until they serve again.

        Raises:
            NotRunning: the cluster is not up, or has no such daemon.
            DaemonFailed: as `up`.
        """
        say = progress or (lambda step: None)
        with self._locked(say):
            if not self._living():
                raise NotRunning(f"No cluster is running in {self.state_dir}. Start it: knit local up")
            record = self._record()
            names = [self._known(name) for name in only] or daemons.daemon_names(record.setup.nodes)
            begun = time.monotonic()
            self._stop(names, say)
            try:
                self._bring_up(record, names, begun + timeout, say)
            except DaemonFailed as error:
                if not _port_was_taken(str(error)):
                    raise
                self._bring_up(record, names, begun + timeout, say)  # its addresses must stay: the others know them
            say(Step("daemons", f"{' · '.join(names)} restarted in {time.monotonic() - begun:.0f} s", done=True))
            return self.status()

    def kill(self, daemon: str) -> None:
        """SIGKILL one daemon, as a crash would end it; `status` then reports it as dead. Raises NotRunning."""
        record = ProcessRecord.read(daemons.pid_file(self.state_dir, self._known(daemon)))
        if not record or not record.alive:
            raise NotRunning(f"The {daemon} of {self.state_dir} is not running.")
        processes.end([record], grace=0.0)

    def status(self) -> ClusterStatus:
        """What runs, from the process table and the daemons' own pages."""
        record = Record.read(self.state_dir)
        if not record:
            return ClusterStatus(
                "stopped", str(self.state_dir), str(self.conf_dir), "", "", 0, False, (), hadoop=HADOOP_VERSION
            )
        setup = record.setup
        seen = tuple(self._daemon_status(setup, name) for name in daemons.daemon_names(setup.nodes))
        states = {daemon.state for daemon in seen}
        state = (
            next(iter(states)) if len(states) == 1 else "starting" if states == {"running", "starting"} else "broken"
        )
        return ClusterStatus(
            state="broken" if state == "dead" else state,
            state_dir=str(self.state_dir),
            conf_dir=str(self.conf_dir),
            resourcemanager_url=self.resourcemanager_url,
            namenode_url=self.namenode_url,
            nodes=setup.nodes,
            recovery=setup.recovery,
            queues=tuple(setup.queues),
            settings=dict(setup.settings),
            java=record.java.version,
            java_home=str(record.java.home),
            hadoop=HADOOP_VERSION,
            jars=str(setup.jars),
            daemons=seen,
        )

    def logs(self, daemon: str, lines: int = 50) -> list[str]:
        """The last lines of a daemon's log. Raises NotRunning when there is no such daemon."""
        return daemons.last_lines(self.state_dir, self._known(daemon), lines)

    def add_user(self, name: str) -> None:
        """Give a user a home: `/user/<name>`, owned by them. Harmless when it is there.

        Raises:
            NotRunning: the cluster is not up.
            LocalClusterError: the NameNode refuses.
        """
        if not self.is_running:
            raise NotRunning(f"No cluster is running in {self.state_dir}. Start it: knit local up")
        try:
            bringup.make_home(self._record(), name)
        except OSError as error:
            raise LocalClusterError(f"No home for {name!r} could be made: {error}") from error

    def daemon_names(self) -> list[str]:
        """All daemons of this cluster, running or not; those of a one-node cluster when it was never started."""
        return self._names()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _locked(self, say: Progress) -> AbstractContextManager[None]:
        return locked(
            self.state_dir.with_name(f".{self.state_dir.name}.lock"),
            lambda owner: say(Step("wait", f"process {owner} is changing this cluster: waiting for it")),
        )

    def _plan(
        self,
        nodes: int | None,
        recovery: bool | None,
        settings: Mapping[str, str] | None,
        queues: Sequence[str] | None,
        say: Progress,
    ) -> Record:
        """What should run: the arguments, and for those not given what runs already, or the defaults."""
        previous = Record.read(self.state_dir)
        living = self._living()
        if previous and living:
            old = previous.setup
            asked = replace(
                old,
                nodes=max(nodes or 1, old.nodes),
                recovery=old.recovery if recovery is None else recovery,
                settings=old.settings if settings is None else dict(settings),
                queues=old.queues if queues is None else tuple(queues),
            )
            if replace(asked, nodes=old.nodes) != old:
                raise LocalClusterError(
                    f"The cluster in {self.state_dir} runs with other settings (recovery {old.recovery}, queues "
                    f"{','.join(old.queues)}, {dict(old.settings) or 'no properties of its own'}). "
                    "Stop it first (knit local down), or use another folder (--state)."
                )
            java, found = previous.java, jars.Jars(old.jars, 0, 0)
        else:
            java = find_java()
            say(Step("java", f"{java.version} (from {java.source})", done=True))
            found = jars.obtain(jars_root(), lambda text: say(Step("hadoop", f"{HADOOP_VERSION}, {text}")))
            once = "downloaded now" if found.fresh else "downloaded once"
            say(Step("hadoop", f"{HADOOP_VERSION}, {found.count} jars, {found.size / 1e6:.0f} MB ({once})", done=True))
            asked = Setup(
                state=self.state_dir,
                jars=found.folder,
                ports={},
                user=running_user(),
                nodes=nodes or 1,
                recovery=bool(recovery),
                settings=dict(settings or {}),
                queues=tuple(queues or ("default",)),
            )
        keep = [port for name in living for port in _ports_of(name)]
        known = cache_root() in self.state_dir.parents
        chosen = ports.choose(asked.nodes, previous.setup.ports if previous else {}, keep, prefer_well_known=known)
        return Record(replace(asked, ports=chosen), java)

    def _bring_up(self, record: Record, names: Sequence[str], deadline: float, say: Progress) -> None:
        lacking = [a for a in map(ports.node_address, range(1, record.setup.nodes + 1)) if not ports.has_address(a)]
        if lacking:
            raise LocalClusterError(
                f"This machine has no address {lacking[0]}, which NodeManagers beyond the first need. "
                f"On macOS: sudo ifconfig lo0 alias {lacking[0]}"
            )
        setup = record.setup
        needed = [
            (ports.node_address(daemons.node_number(name) or 1), setup.ports[port])
            for name in names
            for port in _ports_of(name)
        ]
        ports.wait_free(needed, min(deadline, time.monotonic() + 10))
        bringup.prepare(record)
        also = [name for name in self._living() if name not in names]
        attempt = bringup.BringUp(record, lambda text: say(Step("daemons", text)), names)
        attempt.start(also, deadline)
        try:
            bringup.make_folders(record)
        except BaseException:
            attempt.stop()
            raise

    def _stop(self, names: Sequence[str], say: Progress, grace: float = GRACE) -> int:
        """End daemons; with a NodeManager its containers, which are in sessions of their own."""
        found = {name: ProcessRecord.read(daemons.pid_file(self.state_dir, name)) for name in names}
        living = {name: record for name, record in found.items() if record and record.alive}
        if living:
            say(Step("stop", "stopping " + " · ".join(living)))
        processes.end(living.values(), grace)
        local_dirs = [
            str(configuration_files.node_dir(self.state_dir, daemons.node_number(name)) / "local")
            for name in names
            if daemons.node_number(name)
        ]
        mark = f"{daemons.MARK}{self.state_dir}"
        everything = set(names) == set(self._names())

        def strays(seen: list[processes.Seen]) -> list[processes.Seen]:
            left = [process for local in local_dirs for process in processes.containers_of(local, seen)]
            return left + [process for process in seen if everything and mark in process.command]

        processes.sweep(strays, grace=1.0)
        for name in names:
            daemons.pid_file(self.state_dir, name).unlink(missing_ok=True)
        return len(living)

    def _record(self) -> Record:
        record = Record.read(self.state_dir)
        if not record:
            raise NotRunning(f"No cluster was ever started in {self.state_dir}. Start one: knit local up")
        return record

    def _names(self) -> list[str]:
        """Every daemon that there is a sign of: the recorded ones, and those with a pid file."""
        record = Record.read(self.state_dir)
        names = daemons.daemon_names(record.setup.nodes if record else 1)
        stray = sorted(path.stem for path in (self.state_dir / "run").glob("*.json"))
        return [*names, *(name for name in stray if name not in names)]

    def _known(self, name: str) -> str:
        names = self._names()
        if name not in names:
            raise NotRunning(f"There is no daemon {name!r} in {self.state_dir}; there are: {', '.join(names)}.")
        return name

    def _alive(self, name: str) -> bool:
        record = ProcessRecord.read(daemons.pid_file(self.state_dir, name))
        return bool(record and record.alive)

    def _living(self) -> list[str]:
        return [name for name in self._names() if self._alive(name)]

    def _url(self, setup: Setup, name: str) -> str:
        node = daemons.node_number(name)
        role, suffix = daemons.kind(name), f"-{node}" if node > 1 else ""
        port = setup.ports.get(f"{role}-http{suffix}")
        if port is None:
            raise NotRunning(f"There is no daemon {name!r} in {self.state_dir}.")
        return f"http://{ports.node_address(node or 1)}:{port}"

    def _daemon_status(self, setup: Setup, name: str) -> DaemonStatus:
        process = ProcessRecord.read(daemons.pid_file(self.state_dir, name))
        problem = ""
        lines: tuple[str, ...] = ()
        if process and process.alive:
            problem = daemons.unready(name, setup) or ""
            state = "starting" if problem else "running"
        elif process:
            state, problem = "dead", "ended without having been asked to"
            lines = tuple(daemons.last_lines(self.state_dir, name, 8))
        else:
            state = "stopped"
        return DaemonStatus(
            name=name,
            state=state,
            pid=process.pid if process and state in ("running", "starting") else None,
            port=setup.ports[name + "-http" if daemons.kind(name) == daemons.RESOURCEMANAGER else name],
            url=self._url(setup, name),
            log=str(daemons.log_file(self.state_dir, name)),
            problem=problem,
            last_lines=lines,
        )


def running_cluster() -> LocalCluster | None:
    """The default cluster when it runs, found without a network call."""
    cluster = LocalCluster()
    return cluster if cluster.is_running else None


def running_user() -> str:
    """The user this process runs as, whatever the environment says."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return getpass.getuser()


def _ports_of(name: str) -> list[str]:
    node = daemons.node_number(name)
    if node:
        return list(ports.node_ports(node))
    return [port for port in ports.WELL_KNOWN if port == name or port.startswith(f"{name}-")]


def _port_was_taken(text: str) -> bool:
    return "BindException" in text or "Address already in use" in text


def _check_arguments(nodes: int | None, queues: Sequence[str] | None) -> None:
    if nodes is not None and not 1 <= nodes <= MOST_NODES:
        raise LocalClusterError(f"nodes={nodes}: a cluster has 1 to {MOST_NODES} NodeManagers.")
    for queue in queues or ():
        if not queue or not all(character.isalnum() or character in "_-" for character in queue):
            raise LocalClusterError(f"queue {queue!r}: a queue's name has letters, digits, _ and - only.")
    if queues is not None and (not queues or len(set(queues)) != len(queues)):
        raise LocalClusterError("queues: at least one is needed, each once.")
