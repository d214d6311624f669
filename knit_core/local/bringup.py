"""Starts daemons in parallel and waits until they serve. When one fails, those that were started are ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from knit_core.local import class_archive, configuration_files, daemons, rest
from knit_core.local.configuration_files import Setup
from knit_core.local.errors import DaemonFailed, LocalClusterError
from knit_core.local.java import Java
from knit_core.local.ports import node_address
from knit_core.local.processes import ProcessRecord, end, exit_code, spawn, sweep, write_text
from knit_core.local.records import Record
from knit_core.local.secure import certificates
from knit_core.local.secure.classes import compile_classes
from knit_core.local.secure.kerberos_files import CLASSES_DIR

POLL = 0.15  # seconds
FORMATTED = "formatted"
SHOWN_LINES = 12


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
            formatting = daemons.NAMENODE in self.names and not self._formatted()
            if daemons.KDC in self.names:  # the others log in when they start
                self._spawn(daemons.KDC)
                self.wait([daemons.KDC], deadline)
            for name in self.names:
                if not (formatting and name == daemons.NAMENODE) and name != daemons.KDC:
                    self._spawn(name)
            if formatting:
                self._format(deadline)
                self._spawn(daemons.NAMENODE)
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
        """Make an empty file system, after removing the files of an interrupted attempt."""
        setup = self.record.setup
        self.report("making an empty HDFS")
        name, folder = daemons.NAMENODE, setup.state / "hdfs"
        shutil.rmtree(folder / "name", ignore_errors=True)
        command = daemons.command(name, setup, self.record.java, os.environ, ("-format", "-nonInteractive", "-force"))
        record = spawn(command.argv, daemons.out_file(setup.state, name), command.env, setup.state)
        self.started["format"] = record
        if exit_code(record, max(1.0, deadline - time.monotonic())) != 0:
            raise DaemonFailed(self._failure(name, "could not make an empty file system"))
        del self.started["format"]
        write_text(folder / FORMATTED, "")

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
    for name, text in configuration_files.configuration(setup, password).items():
        path = setup.conf_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    class_archive.prepare(setup, record.java)
    write_text(setup.state / "run" / "hosts", configuration_files.hosts_file(setup, socket.gethostname()))
    for script, text in configuration_files.scripts(setup, record.java.binary).items():
        path = setup.state / "bin" / script
        path.parent.mkdir(exist_ok=True)
        write_text(path, text)
        path.chmod(0o755)
    record.write()


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
    """Make the folders that every HDFS has: shared ones with mode 1777, and the home folder of the user."""
    setup = record.setup
    identity = "" if setup.kerberos else f"&user.name={setup.superuser}"
    if rest.get(setup, "namenode-http", f"/webhdfs/v1/user/{setup.user}?op=GETFILESTATUS{identity}"):
        return
    try:
        for path, mode in (("/tmp", "1777"), ("/tmp/logs", "1777"), ("/user", "755")):
            rest.webhdfs(setup, "MKDIRS", path, permission=mode)
            rest.webhdfs(setup, "SETPERMISSION", path, permission=mode)
        for name in dict.fromkeys((setup.user, *setup.users)):
            make_home(record, name)
    except OSError as error:
        raise LocalClusterError(f"The first folders on HDFS could not be made: {error}") from error


def make_home(record: Record, name: str) -> None:
    """Make `/user/<name>`, owned by `name`, mode 755. Raises OSError as `rest.webhdfs` does."""
    setup = record.setup
    path = f"/user/{name}"
    if setup.kerberos:
        daemons.kdc_of(setup).add_users([name])
    rest.webhdfs(setup, "MKDIRS", path, permission="755")
    rest.webhdfs(setup, "SETOWNER", path, owner=name, group=name)


def remove(path: Path) -> None:
    """Remove a folder and its content, including folders that containers have made read-only."""

    def unlock(function: Callable[..., object], name: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            Path(name).parent.chmod(0o700)
            Path(name).chmod(0o700)
            function(name)

    shutil.rmtree(path, onerror=unlock)
