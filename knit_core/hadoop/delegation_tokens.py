"""Delegation tokens: what a launch gives its application, so that it may use HDFS and the ResourceManager without a ticket.

They are got over REST. The tokens have the kinds and services under which Hadoop's own clients, on the nodes, look for them
(org.apache.hadoop.hdfs.HAUtilClient, org.apache.hadoop.yarn.client.ClientRMProxy). YARN renews them while the application
runs, until their maximum lifetime (seven days unless the cluster sets another).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from knit_container.credentials import BadCredentials, Token
from knit_core.config import Config
from knit_core.errors import UnexpectedReply
from knit_core.hadoop.resource_manager import ResourceManager
from knit_core.hadoop.token_providers import TokenRequest, provided_tokens
from knit_core.hadoop.webhdfs import WebHdfs

HDFS_KIND, RESOURCEMANAGER_KIND = "HDFS_DELEGATION_TOKEN", "RM_DELEGATION_TOKEN"
_RPC_PORT = 8032


def tokens_for(config: Config, hdfs: WebHdfs, resourcemanager: ResourceManager) -> dict[str, Token]:
    """The tokens of a launch by alias.

    Args:
        config: of the cluster.
        hdfs: the filesystem of the staging folder.
        resourcemanager: where the application will run.

    Raises:
        KnitError: a service refused a token, or does not answer.
    """
    renewer = renewer_of(config, resourcemanager.address)
    action = "get a delegation token of HDFS"
    query = {"op": "GETDELEGATIONTOKEN", "renewer": renewer}
    reply = hdfs.http.get_json("/webhdfs/v1/", action=action, params=query)
    of_hdfs = _token(reply, ("Token", "urlString"), hdfs.address, action)
    action, http = "get a delegation token of the ResourceManager", resourcemanager.http
    # The same request again makes another token, which ends by itself: so it may be repeated.
    response = http.request(
        "POST", "/ws/v1/cluster/delegation-token", action=action, body={"renewer": renewer}, idempotent=True
    )
    of_resourcemanager = _token(http.json_of(response, action), ("token",), resourcemanager.address, action)
    request = TokenRequest(config.user, renewer, resourcemanager.address, lambda name: _value(config, name))
    return {
        **provided_tokens(request),
        "hdfs": of_hdfs.renamed(HDFS_KIND, filesystem_service(config) or of_hdfs.service),
        "resourcemanager": of_resourcemanager.renamed(
            RESOURCEMANAGER_KIND, resourcemanager_service(config) or of_resourcemanager.service
        ),
    }


def _value(config: Config, name: str) -> str | None:
    found = config.hadoop_property(name)
    return None if found is None else found.value


def renewer_of(config: Config, address: str) -> str:
    """The ResourceManager's principal, which renews the tokens (org.apache.hadoop.mapred.Master).

    Args:
        config: of the cluster.
        address: base URL of the active ResourceManager, whose host replaces `_HOST`.
    """
    principal = config.cluster_property("yarn.resourcemanager.principal", "yarn")
    return principal.replace("/_HOST@", f"/{(urlsplit(address).hostname or '').lower()}@")


def filesystem_service(config: Config) -> str:
    """The service of a token for a nameservice with several NameNodes; empty for one NameNode, whose tokens name it."""
    name = urlsplit(config.filesystem.value).hostname or ""
    several = config.hadoop_property(f"dfs.ha.namenodes.{name}")
    return f"ha-hdfs:{name}" if several is not None and several.value else ""


def resourcemanager_service(config: Config, resolve: Callable[[str], str] = socket.gethostbyname) -> str:
    """The service of a token for the ResourceManager: `address:port` of each of them, separated by commas.

    Empty when the configuration does not name them.

    Args:
        config: of the cluster.
        resolve: the address of a host; Hadoop's clients use addresses unless `hadoop.security.token.service.use_ip` is false.
    """
    use_ip = config.cluster_property("hadoop.security.token.service.use_ip", "true").lower() != "false"
    several = config.cluster_property("yarn.resourcemanager.ha.enabled", "false").lower() == "true"
    names = config.cluster_property("yarn.resourcemanager.ha.rm-ids", "").split(",") if several else [""]
    services = []
    for name in names:
        suffix = f".{name.strip()}" if name.strip() else ""
        default = config.cluster_property(f"yarn.resourcemanager.hostname{suffix}", "")
        address = config.cluster_property(f"yarn.resourcemanager.address{suffix}", default)
        host, _, port = address.partition(":")
        if not host or "$" in host or host == "0.0.0.0":
            return ""
        try:
            services.append(f"{resolve(host) if use_ip else host.lower()}:{port or _RPC_PORT}")
        except OSError:  # known on the nodes only
            return ""
    return ",".join(services)


def _token(reply: Any, keys: tuple[str, ...], address: str, action: str) -> Token:
    """The token in a reply.

    Raises:
        UnexpectedReply: there is none (`null` under simple authentication), or it is no token. The reply is not quoted.
    """
    try:
        for key in keys:
            reply = reply[key]
        return Token.decode(str(reply))
    except (KeyError, TypeError, BadCredentials):
        raise UnexpectedReply(
            f"{action}: {address} did not answer with a token; does it use Kerberos (hadoop.security.authentication)?",
            address=address, action=action,
        ) from None  # fmt: skip


__all__ = ["filesystem_service", "renewer_of", "resourcemanager_service", "tokens_for"]
