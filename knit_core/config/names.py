"""Names and meanings of Knit's settings, and which of them are secret. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from knit_core.config.proxies import without_user

SETTINGS: Mapping[str, str] = {
    "resourcemanager": "ResourceManager web address, several separated by commas (http://rm.example.org:8088)",
    "namenode": "WebHDFS address of the NameNode, several separated by commas (http://nn.example.org:9870)",
    "container_namenode": "WebHDFS address of the NameNode for containers, several separated by commas; by default the one "
    "that the cluster's configuration names",
    "filesystem": "Hadoop URL of the filesystem that holds the staging folder (hdfs://nn.example.org:8020)",
    "user": "user name under simple authentication; under Kerberos it comes from the ticket",
    "auth": "simple, kerberos, or basic or token for a gateway; default: what the cluster asks for, simple or kerberos",
    "keytab": "file of Kerberos keys, from which tickets are got and renewed; needs `principal` unless its first one is meant",
    "principal": "Kerberos principal in the keytab or ticket cache (etl@EXAMPLE.ORG)",
    "ticket_cache": "Kerberos ticket cache, as in KRB5CCNAME; default: that one, else krb5.conf's",
    "proxy_user": "user to act for, where Hadoop's hadoop.proxyuser.* allow that to the user who logs in",
    "password": "for basic authentication through a gateway; needs `auth` basic",
    "token": "token of a gateway such as Knox (a JWT or a passcode); needs `auth` token",
    "token_file": "file with that token, read again when it changes",
    "gateway_path": "path prefix of a gateway such as Knox (/gateway/default)",
    "ca": "file or folder of trusted certificates for https (default: the system's, or REQUESTS_CA_BUNDLE); false checks nothing",
    "client_certificate": "file with this client's certificate (PEM), where the servers or a gateway require one",
    "client_key": "file with its private key, without a password; default: the same file",
    "proxy": "proxy to all of the cluster's services (http://…, socks5h://…), or environment: that of HTTP_PROXY and its like",
    "no_proxy": "hosts, domains and networks that are reached without it, separated by commas",
    "staging": "staging folder on HDFS, default .knit in the home folder (/user/<user>)",
    "queue": "queue for applications that name none",
    "replication": "replication of uploaded files; the filesystem's default otherwise",
    "shared_cache": "folder on HDFS (mode 1777) for environments that all users share, such as /shared/knit",
    "shared_trust": "users whose environments in the shared cache are used as they are, separated by commas",
    "api_ports": "ports for the ApplicationMaster's API, for example 40000-40100",
    "java": "java command for the ApplicationMaster on the nodes, default $JAVA_HOME/bin/java, else java",
    "application_classpath": "classpath of Hadoop's jars on the nodes, when the cluster's configuration has none",
    "class_sharing": "false: ApplicationMasters keep no archive of their classes on the nodes, and start more slowly",
}
SECRET = frozenset({"password", "token"})


def is_secret(name: str, value: str) -> bool:
    """Whether the value of a setting must not be shown as it is."""
    return name in SECRET or (name == "proxy" and "@" in value)


def masked(name: str, value: str) -> str:
    """A setting for display: secrets are masked."""
    return "***" if name in SECRET else without_user(value) if name == "proxy" else value


__all__ = ["SECRET", "SETTINGS", "is_secret", "masked"]
