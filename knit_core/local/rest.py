"""HTTP calls of bring-up with http.client: it imports fast and ignores proxy variables.

On a cluster with Kerberos each call carries a ticket of HDFS's superuser; with TLS it trusts the cluster's own authority only.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import ssl
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from knit_core.local.configuration_files import Setup
from knit_core.local.errors import LocalClusterError
from knit_core.local.gateways.knox_files import KNOX
from knit_core.local.high_availability import NAMENODES, RESOURCEMANAGERS
from knit_core.local.secure.certificates import CA
from knit_core.local.secure.kerberos_files import DAEMONS_KEYTAB, KRB5_CONF, REALM

_environment = threading.Lock()


def call(
    setup: Setup, method: str, port_name: str, path: str, timeout: float = 5.0, login: tuple[str, str] | None = None
) -> tuple[int, Any]:
    """One call to a daemon.

    Args:
        setup: the cluster.
        method: HTTP verb.
        port_name: of the daemon's web server (`namenode-http`).
        path: with its query.
        timeout: seconds.
        login: user and password, for Knox.

    Returns:
        The status and the JSON of the reply (None when the reply is not JSON).

    Raises:
        OSError: no reply.
        LocalClusterError: a package is missing that Kerberos needs.
    """
    port = setup.ports[port_name]
    connection: http.client.HTTPConnection
    if setup.tls or port_name == KNOX:
        authority = (setup.knox_dir if port_name == KNOX else setup.tls_dir) / CA
        context = ssl.create_default_context(cafile=str(authority))
        connection = http.client.HTTPSConnection(setup.host, port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(setup.host, port, timeout=timeout)
    headers = {"Accept": "application/json", **(_basic(*login) if login else _identity(setup))}
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        body = reply.read()
    except http.client.HTTPException as error:
        raise OSError(f"{method} {setup.url(port_name)}{path}: {error!r}") from error
    finally:
        connection.close()
    try:
        return reply.status, json.loads(body)
    except ValueError:
        return reply.status, None


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def _identity(setup: Setup) -> dict[str, str]:
    """SPNEGO as HDFS's superuser; nothing under simple authentication."""
    if not setup.kerberos:
        return {}
    try:
        import gssapi
    except (ImportError, OSError):
        raise LocalClusterError(
            "A cluster with Kerberos needs the package gssapi: pip install 'knit-yarn[kerberos]' (Debian: first apt-get "
            "install gcc libkrb5-dev python3-dev)"
        ) from None
    folder = setup.kerberos_dir
    with _krb5_config(str(folder / KRB5_CONF)):
        try:
            principal = gssapi.Name(f"hdfs/localhost@{REALM}", gssapi.NameType.kerberos_principal)
            keytab = folder / DAEMONS_KEYTAB
            # The library keeps the cache; a cluster that is made anew in this folder has other keys.
            cache = f"MEMORY:{setup.state}-{keytab.stat().st_mtime_ns}"
            store = {"client_keytab": str(keytab), "ccache": cache}
            credentials = gssapi.Credentials(name=principal, usage="initiate", store=store)
            target = gssapi.Name("HTTP@localhost", gssapi.NameType.hostbased_service)
            mechanism = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
            token = gssapi.SecurityContext(name=target, creds=credentials, mech=mechanism, usage="initiate").step()
        except gssapi.exceptions.GSSError as error:
            raise OSError(f"no ticket for hdfs: {' '.join(error.gen_message().split())}") from None
    return {"Authorization": f"Negotiate {base64.b64encode(token).decode()}"}


@contextlib.contextmanager
def _krb5_config(path: str) -> Iterator[None]:
    """The library reads the variable at each use; the caller's own realm is back afterwards."""
    with _environment:
        before = os.environ.get("KRB5_CONFIG")
        os.environ["KRB5_CONFIG"] = path
        try:
            yield
        finally:
            if before is None:
                del os.environ["KRB5_CONFIG"]
            else:
                os.environ["KRB5_CONFIG"] = before


def get(setup: Setup, port_name: str, path: str, timeout: float = 5.0) -> Any:
    """The JSON at a path; None without a successful reply."""
    try:
        status, body = call(setup, "GET", port_name, path, timeout)
    except OSError:
        return None
    return body if status == 200 else None


def jmx(setup: Setup, port_name: str, bean: str) -> dict[str, Any]:
    """A daemon's JMX bean; empty without a reply."""
    if not port_name:
        return {}
    beans = (get(setup, port_name, f"/jmx?qry={quote(bean, safe=':=,')}") or {}).get("beans") or [{}]
    return dict(beans[0])


def active_namenode(setup: Setup) -> str:
    """The name of the web port of the active NameNode; empty when none is. The only one always is."""
    if not setup.ha:
        return "namenode-http"
    bean = "Hadoop:service=NameNode,name=NameNodeStatus"
    names = [f"namenode-http{suffix}" for suffix in NAMENODES]
    return next((name for name in names if jmx(setup, name, bean).get("State") == "active"), "")


def active_resourcemanager(setup: Setup) -> str:
    """The name of the web port of the active ResourceManager; empty when none is. The only one always is."""
    if not setup.ha:
        return "resourcemanager-http"
    for suffix in RESOURCEMANAGERS:
        name = f"resourcemanager-http{suffix}"
        info = (get(setup, name, "/ws/v1/cluster/info") or {}).get("clusterInfo") or {}
        if info.get("haState") == "ACTIVE":
            return name
    return ""


def webhdfs(setup: Setup, operation: str, path: str, **parameters: str) -> None:
    """A WebHDFS call that changes the namespace, as HDFS's superuser.

    Raises:
        OSError: no reply, or the NameNode refuses; the message is the NameNode's.
    """
    identity = {} if setup.kerberos else {"user.name": setup.superuser}
    query = urlencode({"op": operation, **identity, **parameters})
    name = active_namenode(setup) or "namenode-http"
    status, body = call(setup, "PUT", name, f"/webhdfs/v1{quote(path)}?{query}", timeout=30)
    if status != 200:
        message = ((body or {}).get("RemoteException") or {}).get("message", "no explanation")
        where = setup.at(name)
        raise OSError(f"{operation} {path} at the NameNode {where} as {setup.superuser}: status {status}, {message}")
