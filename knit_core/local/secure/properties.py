"""Hadoop's properties of a cluster with Kerberos and TLS. Pure.

Each daemon has one principal for its Hadoop user and the one of its web server; one keytab has all keys.
"""

from __future__ import annotations

from pathlib import Path

from knit_core.local.secure.certificates import KEYSTORE, TRUSTSTORE
from knit_core.local.secure.kerberos_files import REALM

HDFS, YARN, HTTP = (f"{name}/localhost@{REALM}" for name in ("hdfs", "yarn", "HTTP"))
_SPNEGO = "org.apache.hadoop.security.AuthenticationFilterInitializer"


def kerberos_properties(keytab: Path, signature_secret: Path, krb5_conf: Path, *, tls: bool) -> dict[str, str]:
    """Properties of all configuration files.

    Args:
        keytab: with the keys of all daemons.
        signature_secret: file with the secret that signs the cookies of the web servers.
        krb5_conf: where the realm is; containers' JVMs need it, too.
        tls: whether DataNodes are protected by TLS and SASL instead of by ports below 1024.
    """
    found = {
        "hadoop.security.authentication": "kerberos",
        "hadoop.http.filter.initializers": _SPNEGO,
        "hadoop.http.authentication.type": "kerberos",
        "hadoop.http.authentication.simple.anonymous.allowed": "false",
        "hadoop.http.authentication.kerberos.principal": HTTP,
        "hadoop.http.authentication.kerberos.keytab": str(keytab),
        "hadoop.http.authentication.signature.secret.file": str(signature_secret),
        "hadoop.user.group.static.mapping.overrides": "hdfs=hdfs,supergroup;yarn=yarn;dr.who=",
        "hadoop.proxyuser.yarn.hosts": "*",
        "hadoop.proxyuser.yarn.users": "*",
        # A Knox gateway acts for its users. Its principal is made when there is one.
        "hadoop.proxyuser.knox.hosts": "*",
        "hadoop.proxyuser.knox.users": "*",
        "dfs.block.access.token.enable": "true",
        "dfs.namenode.kerberos.principal": HDFS,
        "dfs.namenode.keytab.file": str(keytab),
        "dfs.namenode.kerberos.internal.spnego.principal": HTTP,
        "dfs.datanode.kerberos.principal": HDFS,
        "dfs.datanode.keytab.file": str(keytab),
        "dfs.web.authentication.kerberos.principal": HTTP,
        "dfs.web.authentication.kerberos.keytab": str(keytab),
        "yarn.acl.enable": "true",
        # The default, *, makes every user an administrator of all applications.
        "yarn.admin.acl": "yarn",
        "yarn.scheduler.capacity.root.acl_administer_queue": " ",
        "yarn.resourcemanager.principal": YARN,
        "yarn.resourcemanager.keytab": str(keytab),
        "yarn.resourcemanager.webapp.spnego-principal": HTTP,
        "yarn.resourcemanager.webapp.spnego-keytab-file": str(keytab),
        "yarn.nodemanager.principal": YARN,
        "yarn.nodemanager.keytab": str(keytab),
        "yarn.nodemanager.webapp.spnego-principal": HTTP,
        "yarn.nodemanager.webapp.spnego-keytab-file": str(keytab),
        # Nodes of other clusters have /etc/krb5.conf.
        "yarn.nodemanager.admin-env": (
            f"MALLOC_ARENA_MAX=$MALLOC_ARENA_MAX,JAVA_TOOL_OPTIONS=-Djava.security.krb5.conf={krb5_conf}"
        ),
    }
    if tls:
        found["dfs.data.transfer.protection"] = "authentication"
    else:
        found["ignore.secure.ports.for.testing"] = "true"
    return found


def tls_properties() -> dict[str, str]:
    """All web servers speak https only; their addresses have names of their own (see `https_names`)."""
    return {"dfs.http.policy": "HTTPS_ONLY", "yarn.http.policy": "HTTPS_ONLY"}


#: From the property of an http address to that of the https address.
HTTPS_NAMES = {
    "dfs.namenode.http-address": "dfs.namenode.https-address",
    "dfs.datanode.http.address": "dfs.datanode.https.address",
    "yarn.resourcemanager.webapp.address": "yarn.resourcemanager.webapp.https.address",
    "yarn.nodemanager.webapp.address": "yarn.nodemanager.webapp.https.address",
}


def with_https_addresses(properties: dict[str, str]) -> dict[str, str]:
    """The properties with each http address under the name of the https one: the servers open only that."""
    return {_https_name(name): value for name, value in properties.items()}


def _https_name(name: str) -> str:
    """Of two servers, the names end in `.rm1` or `.knit.nn1`."""
    for http, https in HTTPS_NAMES.items():
        if name == http or name.startswith(f"{http}."):
            return https + name[len(http) :]
    return name


def ssl_server(folder: Path, password: str) -> dict[str, str]:
    """ssl-server.xml.

    Args:
        folder: of the certificates.
        password: of both stores.
    """
    found = {}
    for kind, store in (("keystore", KEYSTORE), ("truststore", TRUSTSTORE)):
        found[f"ssl.server.{kind}.location"] = str(folder / store)
        found[f"ssl.server.{kind}.password"] = password
        found[f"ssl.server.{kind}.type"] = "pkcs12"
    found["ssl.server.keystore.keypassword"] = password
    return found


def ssl_client(folder: Path, password: str) -> dict[str, str]:
    """ssl-client.xml, for the daemons as clients of each other and for other Hadoop clients."""
    return {
        "ssl.client.truststore.location": str(folder / TRUSTSTORE),
        "ssl.client.truststore.password": password,
        "ssl.client.truststore.type": "pkcs12",
    }
