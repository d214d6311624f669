"""The KDC of the embedded cluster: MIT's, on a loopback port, as the user who starts the cluster."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from knit_core.local.errors import LocalClusterError
from knit_core.local.processes import write_text
from knit_core.local.secure.kerberos_files import KRB5_CONF, SIGNATURE_SECRET, commands, kdc_conf, keytab_of, krb5_conf

_FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/lib/mit/sbin", "/opt/homebrew/opt/krb5/sbin")
_PACKAGES = (
    "The programs of a KDC are missing ({missing}). Debian: apt-get install krb5-kdc krb5-admin-server krb5-user; "
    "Red Hat: dnf install krb5-server krb5-workstation"
)
_MADE = "made"  # the file that is there when the database is complete


class Kdc:
    """The realm in a folder.

    Args:
        folder: of its files.
        port: of the KDC.
        log: its log file.

    Attributes:
        krb5_conf: the clients' configuration, for KRB5_CONFIG and Java.
    """

    def __init__(self, folder: Path, port: int, log: Path) -> None:
        self.folder, self.port, self._log = folder, port, log
        self.krb5_conf = folder / KRB5_CONF

    def prepare(self, users: Iterable[str]) -> None:
        """Write the configuration and, the first time, make the database with the daemons' and the users' keytabs.

        Raises:
            LocalClusterError: the programs of a KDC are missing, or fail.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        write_text(self.krb5_conf, krb5_conf(self.port))
        write_text(self.folder / "kdc.conf", kdc_conf(self.folder, self.port, self._log))
        write_text(self.folder / "kadm5.acl", "")
        if not (self.folder / SIGNATURE_SECRET).exists():
            write_text(self.folder / SIGNATURE_SECRET, secrets.token_hex(32))
        if not (self.folder / _MADE).exists():
            for left in (*self.folder.glob("principal*"), *self.folder.glob("*.keytab"), self.folder / "stash"):
                left.unlink(missing_ok=True)  # of an interrupted attempt
            self._run(["kdb5_util", "create", "-s", "-r", "KNIT.LOCAL", "-P", secrets.token_hex(16)])
            self._run(["kadmin.local"], commands(self.folder, users))
            write_text(self.folder / _MADE, "")
        else:
            self.add_users(users)

    def add_users(self, users: Iterable[str]) -> None:
        """Make principals and keytabs of users that have none."""
        missing = [name for name in users if not keytab_of(self.folder, name).exists()]
        if missing:
            self._run(["kadmin.local"], commands(self.folder, missing, daemons=False))

    def command(self) -> list[str]:
        """The command of the server, in the foreground."""
        return [program("krb5kdc"), "-n", "-P", str(self.folder / "kdc.pid")]

    def environment(self, outer: Mapping[str, str]) -> dict[str, str]:
        """The variables of the server and of the tools, and of clients."""
        return {
            **outer,
            "KRB5_CONFIG": str(self.krb5_conf),
            "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf"),
        }

    @property
    def answers(self) -> bool:
        """Whether the port accepts connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
        except OSError:
            return False
        return True

    def _run(self, command: list[str], text: str = "") -> None:
        done = subprocess.run(
            [program(command[0]), *command[1:]], input=text, text=True, env=self.environment(os.environ),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
        )  # fmt: skip
        # kadmin.local ends with 0 after a command that failed
        failed = [line for line in done.stdout.splitlines() if " while " in line]
        if done.returncode or failed:
            raise LocalClusterError(f"{command[0]} failed: {'; '.join(failed) or done.stdout.strip()}")


def program(name: str) -> str:
    """The path of a program of MIT's Kerberos, which distributions keep out of the PATH of users.

    Raises:
        LocalClusterError: it is not installed; the message names the packages.
    """
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(_FOLDERS))
    if found is None:
        raise LocalClusterError(_PACKAGES.format(missing=name))
    return found
