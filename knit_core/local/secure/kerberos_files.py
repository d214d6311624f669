"""The files of the embedded realm, as text: krb5.conf, kdc.conf, and the commands that make its principals. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

REALM = "KNIT.LOCAL"
#: Principals of the daemons. One name per Hadoop user, and that of the web servers, by each name of this machine.
DAEMONS = ("hdfs/localhost", "yarn/localhost", "HTTP/localhost", "HTTP/127.0.0.1")
CLASSES_DIR = "classes"  # of classes that replace some of Hadoop's
DAEMONS_KEYTAB, KRB5_CONF, SIGNATURE_SECRET = "daemons.keytab", "krb5.conf", "http-signature-secret"


def krb5_conf(port: int) -> str:
    """The configuration of clients and of the KDC itself. Only TCP and no DNS: the realm is on a loopback port.

    Args:
        port: of the KDC.
    """
    return f"""\
[libdefaults]
  default_realm = {REALM}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  ticket_lifetime = 1d
  renew_lifetime = 7d
[realms]
  {REALM} = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  localhost = {REALM}
"""


def kdc_conf(folder: Path, port: int, log: Path) -> str:
    """The configuration of the KDC.

    Args:
        folder: of its database.
        port: to listen on.
        log: its log file.
    """
    return f"""\
[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {REALM} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/kadm5.acl
    max_life = 1d
    max_renewable_life = 7d
    master_key_type = aes256-cts-hmac-sha1-96
    supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
  }}
[logging]
  kdc = FILE:{log}
"""


def keytab_of(folder: Path, user: str) -> Path:
    """The keytab of a user."""
    return folder / f"{user}.keytab"


def commands(folder: Path, users: Iterable[str], daemons: bool = True) -> str:
    """The input of kadmin.local that makes principals with random keys, and their keytabs.

    Args:
        folder: of the keytabs.
        users: names without a realm.
        daemons: make those of the daemons, too.
    """
    keytabs = [(name, keytab_of(folder, name)) for name in users]
    if daemons:
        keytabs = [*((name, folder / DAEMONS_KEYTAB) for name in DAEMONS), *keytabs]
    lines = []
    for name, keytab in keytabs:
        lines += [f"addprinc -randkey {name}@{REALM}", f"ktadd -norandkey -k {keytab} {name}@{REALM}"]
    return "\n".join([*lines, "quit", ""])
