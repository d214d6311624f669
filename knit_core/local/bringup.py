"""Starts daemons in parallel and waits until they serve. When one fails, those that were started are ended."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from knit_core.local import class_archive, configuration_files, daemons, rest
from knit_core.local.configuration_files import Setup
from knit_core.local.errors import DaemonFailed, LocalClusterError
from knit_core.local.gateways import httpfs, knox_files, knox_home
from knit_core.local.high_availability import zoo_cfg
from knit_core.local.java import Java
from knit_core.local.ports import node_address
from knit_core.local.processes import ProcessRecord, end, exit_code, spawn, sweep, write_private, write_text
from knit_core.local.records import Record
from knit_core.local.secure import certificates
from knit_core.local.secure.classes import compile_classes
from knit_core.local.secure.kerberos_files import CLASSES_DIR

POLL = 0.15  # seconds
FORMATTED = "formatted"
SHOWN_LINES = 12
_NAMENODES_AND_CONTROLLERS = ("namenode", "namenode-2", "zkfc", "zkfc-2")


@dataclass
class BringUp:
    """One attempt to start daemons.

    Attributes:
        record: what to start.
        report: called with a line about what is being waited for.
        names: the daemons to start; none of them is running.
        started: the processes started so far, by daemon.
    """

    record: Record
    report: Callable[[str], None]
    names: Sequence[str]
    started: dict[str, ProcessRecord] = field(default_factory=dict)

    def start(self, also: Sequence[str], deadline: float) -> None:
        """Start the daemons and wait until each serves.

        Args:
            also: running daemons to wait for, too: NodeManagers register again with a restarted ResourceManager.
            deadline: of `time.monotonic()`.

        Raises:
            DaemonFailed: one ended, or does not serve in time. The started ones are ended then.
        """
        try:
            for name in (daemons.KDC, daemons.ZOOKEEPER):  # the others need them when they start
                if name in self.names:
                    self._spawn(name)
                    self.wait([name], deadline)
            formatting = daemons.NAMENODE in self.names and not self._formatted()
            later = _NAMENODES_AND_CONTROLLERS if formatting else ()
            for name in self.names:
                if name not in later and name not in self.started:
                    self._spawn(name)
            if formatting:
                self._format(deadline)
            self.wait([*self.names, *also], deadline)
        except BaseException as error:
            self.stop()
            if isinstance(error, DaemonFailed):
                class_archive.discard(self.record.setup, self.record.java)
            raise

    def stop(self) -> None:
        """End the started daemons, including one whose start was interrupted before it was recorded."""
        setup = self.record.setup
        end(self.started.values(), grace=3.0)
        marks = {f"{daemons.PROCESS_MARK}{name}" for name in self.names}  # the KDC is recorded as it is started
        mark = f"{daemons.MARK}{setup.state}"
        sweep(lambda seen: [each for each in seen if mark in each.command and marks & set(each.command)], grace=3.0)
        for name in self.names:
            daemons.pid_file(setup.state, name).unlink(missing_ok=True)

    def _spawn(self, name: str) -> None:
        setup = self.record.setup
        for path in (daemons.log_file(setup.state, name), daemons.out_file(setup.state, name)):
            with contextlib.suppress(FileNotFoundError):
                path.replace(path.with_name(path.name + ".previous"))
        java = self.record.java
        command = daemons.command(name, setup, java, os.environ, jvm_options=class_archive.options(name, setup, java))
        record = spawn(command.argv, daemons.out_file(setup.state, name), command.env, setup.state)
        self.started[name] = record
        record.write(daemons.pid_file(setup.state, name))

    def _formatted(self) -> bool:
        return (self.record.setup.state / "hdfs" / FORMATTED).is_file()

    def _format(self, deadline: float) -> None:
        """Make an empty file system, after removing the files of an interrupted attempt, and start what serves it."""
        setup = self.record.setup
        self.report("making an empty HDFS")
        folder = setup.state / "hdfs"
        for name in ("name", "name-2", "shared"):
            shutil.rmtree(folder / name, ignore_errors=True)
        options = ("-nonInteractive", "-force")
        self._run(daemons.NAMENODE, ("-format", *options), "could not make an empty file system", deadline)
        if setup.ha:
            self._run(daemons.ZKFC, ("-formatZK", *options), "could not use ZooKeeper", deadline)
        self._spawn(daemons.NAMENODE)
        if setup.ha:
            second = f"{daemons.NAMENODE}-2"
            self._spawn(daemons.ZKFC)
            self.wait([daemons.NAMENODE], deadline)
            self._run(second, ("-bootstrapStandby", *options), "could not copy the file system of the first", deadline)
            for name in (second, f"{daemons.ZKFC}-2"):
                self._spawn(name)
        write_text(folder / FORMATTED, "")

    def _run(self, name: str, arguments: tuple[str, ...], problem: str, deadline: float) -> None:
        """Run a daemon's program for one task. Raises DaemonFailed when it fails."""
        setup = self.record.setup
        command = daemons.command(name, setup, self.record.java, os.environ, arguments)
        record = spawn(command.argv, daemons.out_file(setup.state, name), command.env, setup.state)
        self.started["task"] = record
        if exit_code(record, max(1.0, deadline - time.monotonic())) != 0:
            raise DaemonFailed(self._failure(name, problem))
        del self.started["task"]

    def wait(self, names: Sequence[str], deadline: float) -> None:
        """Wait until each daemon serves. Raises DaemonFailed as `start` does."""
        waiting = list(names)
        while waiting:
            for name in waiting:
                record = self.started.get(name)
                if record and not record.alive:
                    raise DaemonFailed(self._failure(name, "ended while it was starting"))
            problems = {name: daemons.unready(name, self.record.setup) for name in waiting}
            waiting = [name for name in waiting if problems[name]]
            if not waiting:
                return
            self.report("waiting for " + " · ".join(waiting))
            if time.monotonic() > deadline:
                raise DaemonFailed(
                    "\n".join(self._failure(name, f"{problems[name]} at the end of the time limit") for name in waiting)
                )
            time.sleep(POLL)

    def _failure(self, name: str, what: str) -> str:
        state = self.record.setup.state
        lines = "\n".join(f"    {line}" for line in daemons.last_lines(state, name, SHOWN_LINES))
        return f"The {name} {what}. Last lines of {daemons.log_file(state, name)}:\n{lines}"


def prepare(record: Record) -> None:
    """Write the folders and the configuration of the daemons."""
    setup = record.setup
    setup.state.mkdir(parents=True, exist_ok=True)
    # Only this user may read files and logs of containers; the folders below have the modes that Hadoop expects.
    setup.state.chmod(0o700)
    for name in ("run", "logs", "tmp", "hdfs", "conf", "nodes"):
        (setup.state / name).mkdir(exist_ok=True)
    password = prepare_security(setup, record.java)
    if setup.ha:
        folder = setup.state / "zookeeper"
        folder.mkdir(exist_ok=True)
        write_text(folder / "zoo.cfg", zoo_cfg(folder, setup.ports[daemons.ZOOKEEPER]))
    for name, text in configuration_files.configuration(setup, password).items():
        path = setup.conf_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    if setup.httpfs:
        prepare_httpfs(setup)
    if setup.knox:
        if setup.kerberos:
            daemons.kdc_of(setup).add_users([knox_files.KNOX])
        knox_home.prepare(setup, [setup.user, *setup.users])
    class_archive.prepare(setup, record.java)
    write_text(setup.state / "run" / "hosts", configuration_files.hosts_file(setup, socket.gethostname()))
    for script, text in configuration_files.scripts(setup, record.java.binary).items():
        path = setup.state / "bin" / script
        path.parent.mkdir(exist_ok=True)
        write_text(path, text)
        path.chmod(0o755)
    record.write()


def prepare_httpfs(setup: Setup) -> None:
    """Write the files of HttpFS."""
    for folder in httpfs.folders(setup):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in httpfs.files(setup).items():
        write_text(httpfs.home(setup) / "conf" / name, text)
    if not httpfs.secret_file(setup).exists():
        write_private(httpfs.secret_file(setup), secrets.token_hex(32))


def prepare_security(setup: Setup, java: Java) -> str:
    """Make the realm and the certificates, where the cluster has them; the password of the stores of certificates.

    Raises:
        LocalClusterError: a program or package is missing.
    """
    if setup.kerberos:
        daemons.kdc_of(setup).prepare([setup.user, *setup.users])
        compile_classes(setup.kerberos_dir / CLASSES_DIR, setup.jars, java)
    if not setup.tls:
        return ""
    certificates.make(setup.tls_dir, [node_address(node) for node in range(1, 10)])
    return (setup.tls_dir / certificates.PASSWORD).read_text()


def make_folders(record: Record) -> None:
    """Make the folders that every HDFS has: shared ones with mode 1777, and the home folders of the users."""
    setup = record.setup
    missing = [name for name in dict.fromkeys((setup.user, *setup.users)) if not _has_home(setup, name)]
    try:
        if setup.user in missing:
            for path, mode in (("/tmp", "1777"), ("/tmp/logs", "1777"), ("/user", "755")):
                rest.webhdfs(setup, "MKDIRS", path, permission=mode)
                rest.webhdfs(setup, "SETPERMISSION", path, permission=mode)
        for name in missing:
            make_home(record, name)
    except OSError as error:
        raise LocalClusterError(f"The first folders and homes on HDFS could not be made: {error}") from error


def _has_home(setup: Setup, name: str) -> bool:
    identity = "" if setup.kerberos else f"&user.name={setup.superuser}"
    namenode = rest.active_namenode(setup) or "namenode-http"
    return bool(rest.get(setup, namenode, f"/webhdfs/v1/user/{name}?op=GETFILESTATUS{identity}"))


def make_home(record: Record, name: str) -> None:
    """Make `/user/<name>`, owned by `name`, mode 755, and what the user needs to log in. Raises OSError as `rest.webhdfs` does."""
    setup = record.setup
    path = f"/user/{name}"
    if setup.kerberos:
        daemons.kdc_of(setup).add_users([name])
    if setup.knox:
        knox_home.add_users(setup, [name])
    rest.webhdfs(setup, "MKDIRS", path, permission="755")
    rest.webhdfs(setup, "SETOWNER", path, owner=name, group=name)


def wait_for_gateway(setup: Setup, timeout: float = 30.0) -> None:
    """Wait until Knox lets a new user log in: it looks for changes of its files every five seconds. Else no effect.

    Raises:
        LocalClusterError: it does not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while setup.knox and (problem := daemons.unready(knox_files.KNOX, setup)):
        if time.monotonic() > deadline:
            raise LocalClusterError(
                f"The gateway {knox_files.address(setup)} does not take the new user: it {problem}."
            )
        time.sleep(POLL)


def remove(path: Path) -> None:
    """Remove a folder and its content, including folders that containers have made read-only."""

    def unlock(function: Callable[..., object], name: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            Path(name).parent.chmod(0o700)
            Path(name).chmod(0o700)
            function(name)

    shutil.rmtree(path, onerror=unlock)
