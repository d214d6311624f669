"""HTTP calls of bring-up with http.client: it imports fast and ignores proxy variables."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote, urlencode


def call(method: str, port: int, path: str, timeout: float = 5.0, host: str = "127.0.0.1") -> tuple[int, Any]:
    """One call to a loopback port.

    Returns the status and the JSON of the reply (None when the reply is not JSON).

    Raises:
        OSError: no reply.
    """
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(method, path, headers={"Accept": "application/json"})
        reply = connection.getresponse()
        body = reply.read()
    except http.client.HTTPException as error:
        raise OSError(f"{method} http://{host}:{port}{path}: {error!r}") from error
    finally:
        connection.close()
    try:
        return reply.status, json.loads(body)
    except ValueError:
        return reply.status, None


def get(port: int, path: str, timeout: float = 5.0) -> Any:
    """The JSON at a path; None without a successful reply."""
    try:
        status, body = call("GET", port, path, timeout)
    except OSError:
        return None
    return body if status == 200 else None


def jmx(port: int, bean: str) -> dict[str, Any]:
    """A daemon's JMX bean; empty without a reply."""
    beans = (get(port, f"/jmx?qry={quote(bean, safe=':=,')}") or {}).get("beans") or [{}]
    return dict(beans[0])


def webhdfs(port: int, operation: str, path: str, user: str, **parameters: str) -> None:
    """A WebHDFS call that changes the namespace, as `user`.

    Raises:
        OSError: no reply, or the NameNode refuses; the message is the NameNode's.
    """
    query = urlencode({"op": operation, "user.name": user, **parameters})
    status, body = call("PUT", port, f"/webhdfs/v1{quote(path)}?{query}", timeout=30)
    if status != 200:
        message = ((body or {}).get("RemoteException") or {}).get("message", "no explanation")
        raise OSError(f"{operation} {path} at the NameNode 127.0.0.1:{port} as {user}: status {status}, {message}")
