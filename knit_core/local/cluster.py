"""The embedded cluster as an object: up, down, status, restart, kill, logs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from knit_core.local import bringup, class_archive, configuration_files, daemons, ports, processes
from knit_core.local.configuration_files import Setup
from knit_core.local.daemon_status import cluster_status, url_of
from knit_core.local.errors import DaemonFailed, LocalClusterError, NotRunning
from knit_core.local.gateways import knox_files, knox_home
from knit_core.local.gateways.httpfs import HTTPFS
from knit_core.local.locks import locked
from knit_core.local.paths import HADOOP_VERSION, default_state_dir
from knit_core.local.plan import Asked, check_arguments, plan, ports_of, with_ports
from knit_core.local.processes import ProcessRecord
from knit_core.local.records import ClusterStatus, Record, Step
from knit_core.local.secure import certificates
from knit_core.local.secure.kerberos_files import KRB5_CONF, keytab_of

Progress = Callable[[Step], None]
GRACE = 6.0  # seconds between SIGTERM and SIGKILL: a NodeManager ends its containers first


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

    # -- addresses --------------------------------------------------------------------------------------------------

    @property
    def conf_dir(self) -> Path:
        """The Hadoop configuration folder: the value for HADOOP_CONF_DIR."""
        return self.state_dir / "conf"

    @property
    def resourcemanager_url(self) -> str:
        """The ResourceManager's web address. Raises NotRunning when the cluster was never brought up."""
        return self._record().setup.url("resourcemanager-http")

    @property
    def namenode_url(self) -> str:
        """The address of WebHDFS. Raises NotRunning when the cluster was never brought up."""
        return self._record().setup.url("namenode-http")

    @property
    def httpfs_url(self) -> str:
        """The address of HttpFS. Raises NotRunning when the cluster has none."""
        setup = self._record().setup
        if not setup.httpfs:
            raise NotRunning(
                f"The cluster in {self.state_dir} has no HttpFS. Start it with one: knit local up --httpfs"
            )
        return setup.url(HTTPFS)

    @property
    def knox_url(self) -> str:
        """The address of the Knox gateway, with its path. Raises NotRunning when the cluster has none."""
        return knox_files.address(self._with_knox())

    def password(self, user: str) -> str:
        """The password of a user at the Knox gateway. Raises NotRunning when there is none."""
        found = knox_home.passwords(self._with_knox())
        if user not in found:
            raise NotRunning(
                f"{user!r} has no password at the gateway; add the user: knit local up --knox --users {user}"
            )
        return found[user]

    def nodemanager_url(self, node: int = 1) -> str:
        """The page of NodeManager `node` (from 1). Raises NotRunning when there is no such node."""
        return url_of(self._record().setup, daemons.nodemanager(node))

    @property
    def is_running(self) -> bool:
        """Whether the processes of a NameNode and a ResourceManager are alive. Reads only the process table."""
        names = self._names() if Record.read(self.state_dir) is not None else []
        roles = (daemons.NAMENODE, daemons.RESOURCEMANAGER)
        return bool(names) and all(
            any(self._alive(name) for name in names if daemons.kind(name) == role) for role in roles
        )

    @property
    def dead(self) -> list[str]:
        """Daemons that ended by themselves or were killed. Reads only the process table."""
        if Record.read(self.state_dir) is None:
            return []
        found = [(name, ProcessRecord.read(daemons.pid_file(self.state_dir, name))) for name in self._names()]
        return [name for name, process in found if process and not process.alive]

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which programs find the cluster: Hadoop's configuration, HttpFS, the realm, the trusted certificates.

        With Knox they name the gateway only, with the password of the user who runs the cluster.

        Raises NotRunning when the cluster was never brought up.
        """
        setup = self._record().setup
        if setup.knox:
            return knox_home.variables(setup, setup.user)
        found = {"HADOOP_CONF_DIR": str(setup.conf_dir)}
        if setup.httpfs:
            found |= {"KNIT_NAMENODE": setup.url(HTTPFS), "KNIT_FILESYSTEM": setup.filesystem}
        if setup.kerberos:
            found["KRB5_CONFIG"] = str(setup.kerberos_dir / KRB5_CONF)
        if setup.tls:
            found["KNIT_CA"] = str(setup.tls_dir / certificates.CA)
        return found

    def keytab(self, user: str) -> Path:
        """The keytab of a user of a cluster with Kerberos. Raises NotRunning when there is none."""
        path = keytab_of(self._record().setup.kerberos_dir, user)
        if not path.exists():
            raise NotRunning(
                f"There is no keytab of {user!r} in {path.parent}; add the user: knit local up --users {user}"
            )
        return path

    # -- operations --------------------------------------------------------------------------------------------------

    def up(
        self,
        nodes: int | None = None,
        recovery: bool | None = None,
        settings: Mapping[str, str] | None = None,
        queues: Sequence[str] | None = None,
        progress: Progress | None = None,
        timeout: float = 120.0,
        *,
        kerberos: bool | None = None,
        tls: bool | None = None,
        users: Sequence[str] | None = None,
        scheduler: str | None = None,
        ha: bool | None = None,
        hadoop: str | None = None,
        httpfs: bool | None = None,
        knox: bool | None = None,
    ) -> ClusterStatus:
        """Start the daemons that are not running and wait until all serve. Calling it again is harmless.

        Args:
            nodes: number of NodeManagers (default 1); NodeManagers are added to a running cluster that has fewer.
            recovery: the ResourceManager keeps applications over a restart (default False).
            settings: Hadoop properties by name; they override all others. `nodemanager-2:<property>` applies to that
                NodeManager only.
            queues: leaf queues (default: `default`).
            progress: called with each step.
            timeout: seconds for the start, not counting the download.
            kerberos: all services authenticate by Kerberos, with a KDC of the cluster's own (default False). HDFS's
                superuser is `hdfs` then.
            tls: the web servers speak https only, with certificates of the cluster's own authority (default False).
            users: users with a home folder and, with Kerberos, a keytab (see `keytab`), beside the one who runs the cluster.
            scheduler: `capacity` (the default) or `fair`.
            ha: two NameNodes and two ResourceManagers with automatic failover, over a ZooKeeper (default False).
            hadoop: the version of Hadoop, `3.3.6`, `3.4.2` or `3.5.0`; others of Hadoop 3 were not tried (default: the one
                that the cluster in this folder was made with, 3.4.2 for a new one).
            httpfs: an HttpFS in front of HDFS, too (default False); a running cluster that has none gets one.
            knox: a Knox gateway in front of YARN and HDFS, too (default False); a running cluster that has none gets one. The
                users have passwords at it (see `password`): alice and bob unless `users` names others, and who runs the cluster.

        Raises:
            NoJava, JarsUnavailable: what the daemons need is missing and cannot be fetched.
            DaemonFailed: a daemon did not start; the daemons that this call started are stopped.
            LocalClusterError: the cluster runs with other settings or was made with another version of Hadoop, an argument is
                invalid, or two do not go together.
        """
        report = progress or (lambda step: None)
        asked = Asked(nodes, recovery, settings, queues, kerberos, tls, users, scheduler, ha, hadoop, httpfs, knox)
        check_arguments(asked)
        with self._locked(report):
            record = plan(self.state_dir, self._living(), asked, report)
            names = daemons.names_of(record.setup)
            missing = [name for name in names if not self._alive(name)]
            fresh = not self._living()
            begun = time.monotonic()
            try:
                self._bring_up(record, missing, begun + timeout, report)
            except DaemonFailed as error:
                if not (fresh and _port_was_taken(str(error))):
                    raise
                # Another process took a port after it was chosen: choose other ports, once.
                record = replace(record, setup=with_ports(record.setup, {}, prefer_well_known=False))
                self._bring_up(record, missing, begun + timeout, report)
            status = self.status()
            took = f"ready in {time.monotonic() - begun:.0f} s" if missing else "was running already"
            parts = " · ".join(f"{daemon.name} {daemon.port}" for daemon in status.daemons)
            report(Step("daemons", f"{parts}      {took}", done=True))
            return status

    def down(self, delete: bool = False, progress: Progress | None = None) -> int:
        """End the daemons and all processes in their containers, and wait until they are gone.

        Args:
            delete: also remove the cluster's folder with the content of HDFS and the logs.
            progress: called with each step.

        Returns:
            The number of daemons that were running.
        """
        report = progress or (lambda step: None)
        if not self.state_dir.exists():
            return 0
        with self._locked(report):
            count = self._stop(self._names(), report, grace=0.0 if delete else GRACE)  # no data is kept
            if delete:
                bringup.remove(self.state_dir)
            return count

    def restart(
        self, only: Sequence[str] = (), progress: Progress | None = None, timeout: float = 120.0
    ) -> ClusterStatus:
        """Restart daemons with the same settings.

        Args:
            only: daemon names (`resourcemanager`, `nodemanager-2` …); empty: all.
            progress: called with each step.
            timeout: seconds until they serve again.

        Raises:
            NotRunning: the cluster is not up, or has no such daemon.
            DaemonFailed: as for `up`.
        """
        report = progress or (lambda step: None)
        with self._locked(report):
            if not self._living():
                raise NotRunning(f"No cluster is running in {self.state_dir}. Start it: knit local up")
            record = self._record()
            setup = record.setup
            names = [self._checked_name(name) for name in only] or daemons.names_of(setup)
            begun = time.monotonic()
            self._stop(names, report)
            try:
                self._bring_up(record, names, begun + timeout, report)
            except DaemonFailed as error:
                if not _port_was_taken(str(error)):
                    raise
                # With the same ports: the other daemons are configured with them.
                self._bring_up(record, names, begun + timeout, report)
            report(Step("daemons", f"{' · '.join(names)} restarted in {time.monotonic() - begun:.0f} s", done=True))
            return self.status()

    def kill(self, daemon: str) -> None:
        """End one daemon by SIGKILL, like a crash; `status` then reports it as dead. Raises NotRunning."""
        record = ProcessRecord.read(daemons.pid_file(self.state_dir, self._checked_name(daemon)))
        if not record or not record.alive:
            raise NotRunning(f"The {daemon} of {self.state_dir} is not running.")
        processes.end([record], grace=0.0)

    def status(self) -> ClusterStatus:
        """The state of each daemon, from the process table and the daemons' web pages."""
        record = Record.read(self.state_dir)
        if not record:
            return ClusterStatus(
                "stopped", str(self.state_dir), str(self.conf_dir), "", "", 0, False, (), hadoop=HADOOP_VERSION
            )
        return cluster_status(record)

    def logs(self, daemon: str, lines: int = 50) -> list[str]:
        """The last lines of a daemon's log. Raises NotRunning when there is no such daemon."""
        return daemons.last_lines(self.state_dir, self._checked_name(daemon), lines)

    def add_user(self, name: str) -> None:
        """Make the home folder of a user, `/user/<name>`, with Kerberos a keytab, with Knox a password. Again is harmless.

        Raises:
            NotRunning: the cluster is not up.
            LocalClusterError: the NameNode refuses.
        """
        if not self.is_running:
            raise NotRunning(f"No cluster is running in {self.state_dir}. Start it: knit local up")
        try:
            bringup.make_home(self._record(), name)
        except OSError as error:
            raise LocalClusterError(f"The home folder of {name!r} could not be made: {error}") from error
        bringup.wait_for_gateway(self._record().setup)

    def daemon_names(self) -> list[str]:
        """Names of all daemons, running or not; those of a one-node cluster when it was never started."""
        return self._names()

    # -- private -----------------------------------------------------------------------------------------------------

    def _locked(self, report: Progress) -> AbstractContextManager[None]:
        return locked(
            self.state_dir.with_name(f".{self.state_dir.name}.lock"),
            lambda owner: report(Step("wait", f"waiting for process {owner}, which is changing this cluster")),
        )

    def _bring_up(self, record: Record, names: Sequence[str], deadline: float, report: Progress) -> None:
        setup = record.setup
        ports.check_addresses(setup.nodes)
        needed = [
            (ports.node_address(daemons.node_number(name) or 1), setup.ports[port])
            for name in names
            for port in ports_of(name)
        ]
        ports.wait_free(needed, min(deadline, time.monotonic() + 10))
        bringup.prepare(record)
        also = [name for name in self._living() if name not in names]
        attempt = bringup.BringUp(record, lambda text: report(Step("daemons", text)), names)
        attempt.start(also, deadline)
        try:
            bringup.make_folders(record)
        except BaseException:
            attempt.stop()
            raise
        class_archive.write_in_background(record)

    def _stop(self, names: Sequence[str], report: Progress, grace: float = GRACE) -> int:
        """End daemons. Containers of an ended NodeManager run in sessions of their own and are ended too."""
        found = {name: ProcessRecord.read(daemons.pid_file(self.state_dir, name)) for name in names}
        living = {name: record for name, record in found.items() if record and record.alive}
        if living:
            report(Step("stop", "stopping " + " · ".join(living)))
        processes.end(living.values(), grace)
        local_dirs = [
            str(configuration_files.node_dir(self.state_dir, daemons.node_number(name)) / "local")
            for name in names
            if daemons.node_number(name)
        ]
        mark = f"{daemons.MARK}{self.state_dir}"
        everything = set(names) == set(self._names())

        def remaining(seen: list[processes.ProcessInfo]) -> list[processes.ProcessInfo]:
            left = [process for local in local_dirs for process in processes.containers_of(local, seen)]
            return left + [process for process in seen if everything and mark in process.command]

        processes.sweep(remaining, grace=1.0)
        for name in names:
            daemons.pid_file(self.state_dir, name).unlink(missing_ok=True)
        return len(living)

    def _record(self) -> Record:
        record = Record.read(self.state_dir)
        if not record:
            raise NotRunning(f"No cluster was ever started in {self.state_dir}. Start one: knit local up")
        return record

    def _with_knox(self) -> Setup:
        setup = self._record().setup
        if not setup.knox:
            raise NotRunning(f"The cluster in {self.state_dir} has no Knox. Start it with one: knit local up --knox")
        return setup

    def _names(self) -> list[str]:
        """Names of all daemons: those in the record and those with a pid file."""
        record = Record.read(self.state_dir)
        names = daemons.names_of(record.setup) if record else daemons.daemon_names(1)
        unrecorded = sorted(path.stem for path in (self.state_dir / "run").glob("*.json"))
        return [*names, *(name for name in unrecorded if name not in names)]

    def _checked_name(self, name: str) -> str:
        names = self._names()
        if name not in names:
            raise NotRunning(f"There is no daemon {name!r} in {self.state_dir}; there are: {', '.join(names)}.")
        return name

    def _alive(self, name: str) -> bool:
        record = ProcessRecord.read(daemons.pid_file(self.state_dir, name))
        return bool(record and record.alive)

    def _living(self) -> list[str]:
        return [name for name in self._names() if self._alive(name)]


def running_cluster() -> LocalCluster | None:
    """The default cluster when it runs; no network call is made."""
    cluster = LocalCluster()
    return cluster if cluster.is_running else None


def _port_was_taken(text: str) -> bool:
    return "BindException" in text or "Address already in use" in text
