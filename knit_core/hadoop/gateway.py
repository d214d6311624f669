"""A gateway such as Knox before the cluster: which of its services lead to the ResourceManager and to HDFS.

Knox's services are at https://host/gateway/<topology>/<service>. YARNUI has everything that Knit needs of a ResourceManager:
its API, its configuration (/conf) and its proxy to applications. It is asked for first.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import requests

from knit_core.config.gateways import SERVICES, has_path, topology
from knit_core.errors import KnitError, NotAuthorized, RequestRefused, UnexpectedReply
from knit_core.hadoop.http import HttpService, Route
from knit_core.hadoop.http.service import base_of

log = logging.getLogger(__name__)
_ACTION = "find the ResourceManager at the gateway"
_INFO = "/ws/v1/cluster/info"
_HDFS = "/webhdfs/v1/"
_HOME = {"op": "GETHOMEDIRECTORY"}
_USUAL_TOPOLOGIES = ("default", "cdp-proxy-api", "cdp-proxy", "sandbox")
_UNREACHED = (502, 503, 504)
_REDIRECTS = (301, 302, 303, 307, 308)
_TIMEOUT = 2.0  # seconds, for what only completes a message
_ADD_YARNUI = "; its administrator must add the service YARNUI to that topology"
_NO_CONF = (
    "the cluster's configuration, so Knit needs the settings filesystem (KNIT_FILESYSTEM), container_namenode "
    f"(KNIT_CONTAINER_NAMENODE) and application_classpath (KNIT_APPLICATION_CLASSPATH){_ADD_YARNUI}"
)
_NO_PROXY = (
    f"running applications, so scaling, events and the key-value store need a network route to the nodes{_ADD_YARNUI}"
)


def find_resourcemanager(http: HttpService, address: str) -> Route:
    """The ResourceManager's API below an address with a gateway's path, or which a password or token is for.

    Args:
        http: requests to it.
        address: base URL of a topology, of a service in it, or of a ResourceManager that a gateway of another kind leads to.

    Raises:
        NotAuthorized: the gateway refused the user, or sends to a page where people log in.
        UnexpectedReply: none of the services is there; the message lists what is.
        KnitError: the gateway does not answer, or does not reach the ResourceManager.
    """
    fault: KnitError | None = None
    for route in _candidates(address):
        reply = _ask(http, route)
        if _is_resourcemanager(reply):
            for lack in route.lacks:
                log.warning("%s", lack)
            return route
        if reply.status_code == 401:
            raise http.error_of(reply, _ACTION)
        if reply.status_code in _REDIRECTS:
            standby = "Location" not in reply.headers or "standby" in reply.text.lower()
            raise http.error_of(reply, _ACTION) if standby else _sent_away(reply)
        if reply.status_code in _UNREACHED:  # a service with less is no replacement for one that comes back
            raise http.error_of(reply, _ACTION)
        if reply.status_code == 403 or reply.status_code >= 500:
            fault = fault or http.error_of(reply, _ACTION)
    raise fault or _nothing_found(http, topology(address))


def find_namenode(http: HttpService) -> bool:
    """Whether the addresses of a service serve WebHDFS; one request.

    Raises:
        NotAuthorized: the gateway refused the user.
        KnitError: it does not answer, or does not reach HDFS.
    """
    action = "find HDFS at the gateway"
    try:
        return "Path" in http.get_json(_HDFS, action=action, params=_HOME)
    except NotAuthorized:
        raise
    except (RequestRefused, UnexpectedReply, TypeError):
        return False


def _candidates(address: str) -> Iterator[Route]:
    """The routes to try, those with everything first. What the address itself leads to comes before the services with less."""
    base = topology(address)
    yarn = Route(base + SERVICES["YARNUI"], service="YARNUI")
    own = [Route(address)] if address == base else []
    yield from [yarn, *own] if has_path(address) else [*own, yarn]
    path = "The gateway's service {} at {} does not lead to {}"
    for name, left_out, lacks in (
        ("RESOURCEMANAGER", "/ws", (_NO_CONF, _NO_PROXY)),
        ("YARNUIV2", "", (_NO_CONF,)),
    ):
        place = base + SERVICES[name]
        yield Route(place, left_out, name, tuple(path.format(name, place, lack) for lack in lacks))


def _ask(http: HttpService, route: Route) -> requests.Response:
    endpoint, url = http.endpoint, route.url(_INFO)
    try:
        return http.session.get(url, params=endpoint.auth.parameters(), timeout=endpoint.timeout, allow_redirects=False)
    except requests.RequestException as error:
        parts = urlsplit(url)
        raise http.broken(error, f"{parts.scheme}://{parts.netloc}", _ACTION) from None


def _is_resourcemanager(reply: requests.Response) -> bool:
    """Whether a reply is a ResourceManager's, or that of a federation's Router."""
    if reply.status_code != 200:
        return False
    with contextlib.suppress(ValueError):
        found = reply.json()
        return isinstance(found, dict) and bool({"clusterInfo", "subCluster", "startedOn"} & set(found))
    return False


def _sent_away(reply: requests.Response) -> NotAuthorized:
    place = urlsplit(reply.headers.get("Location", ""))
    where = f"{place.scheme}://{place.netloc}{place.path}" if place.netloc else place.path
    base = base_of(reply)
    return NotAuthorized(
        f"{_ACTION}: {base} redirects to {where}. If people log in there (KnoxSSO), set auth to token (KNIT_AUTH=token) and "
        "token_file to a token of the gateway, or give a topology for programs (with ShiroProvider or JWTProvider); if it is "
        "another address of the gateway, give that",
        status=reply.status_code,
        address=base,
        action=_ACTION,
    )


def _nothing_found(http: HttpService, base: str) -> UnexpectedReply:
    """The error when no service leads to a ResourceManager: what the topology has, and which topologies there are."""
    parts = urlsplit(base)
    host, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    services = ", ".join(f"{name} ({path}{place})" for name, place in SERVICES.items())
    text = f"{_ACTION}: {host} has no ResourceManager at {path or '/'}, and none of Knox's services {services}. "
    if _there(http, f"{base}{_HDFS}"):
        text += (
            f"The topology {path} has WEBHDFS: its administrator must add YARNUI to it, or give a topology that has it."
        )
    else:
        found = list(_topologies(http, host, path))
        text += (
            f"Nor is WEBHDFS there: give the path of a topology (KNIT_GATEWAY_PATH={found[0]}). Found: {', '.join(found)}."
            if found
            else "Nor is WEBHDFS there: is the name of the topology right (https://knox.example.org:8443/gateway/<topology>)?"
            + (http.instead(host) if not path else "")
        )
    return UnexpectedReply(text, address=host, action=_ACTION)


def _topologies(http: HttpService, host: str, path: str) -> Iterator[str]:
    """Paths of topologies with usual names, beside the one that was given, that have a service of YARN."""
    parent = path.rpartition("/")[0] or "/gateway"
    for name in _USUAL_TOPOLOGIES:
        place = f"{parent}/{name}"
        services: Iterable[Route] = _candidates(f"{host}{place}")
        if place != path and any(route.service and _there(http, route.url(_INFO)) for route in services):
            yield place


def _there(http: HttpService, url: str) -> bool:
    """Whether something is at a URL; asked without an identity, so a gateway that asks for one counts."""
    endpoint = http.endpoint
    with contextlib.suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False
        endpoint.tls.configure(session)
        session.proxies = dict(endpoint.proxies.by_scheme(url))
        reply = session.get(url, params=_HOME, timeout=_TIMEOUT, allow_redirects=False)
        return reply.status_code != 404
    return False


__all__ = ["find_namenode", "find_resourcemanager"]
