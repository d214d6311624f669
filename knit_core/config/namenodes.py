"""NameNodes besides those that the client was given: for containers, and the others of a high-availability pair. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from knit_core.config import addresses, gateways
from knit_core.config.hadoop_conf import HadoopConf
from knit_core.config.proxies import is_loopback

_BY_NAME_ONLY = "fs.defaultFS"  # the web address is the filesystem's host with Hadoop's default port: a guess


def is_gateway(urls: Iterable[str], credentials: bool) -> bool:
    """Whether WebHDFS addresses are a gateway's: only gateways have paths or take passwords and tokens."""
    return credentials or any(gateways.has_path(url) for url in urls)


def for_containers(
    client: Sequence[str], gateway: bool, filesystem: str, confs: Iterable[HadoopConf]
) -> tuple[list[str], str] | None:
    """The NameNodes' own addresses, for containers, and what sets them; None: the client's are the best that are known.

    The configuration's addresses are used where it names them. Those of one host to itself (localhost) are used only by a client
    on such a host. Hadoop's default port on the filesystem's host is better than a gateway, at which containers cannot log in,
    and than an address of the client's own host, a tunnel.

    Args:
        client: the client's addresses.
        gateway: whether they are a gateway's.
        filesystem: Hadoop URL of the filesystem, as the nodes use it.
        confs: configurations of the cluster, the nodes' own view first.
    """
    local = all(_is_loopback(url) for url in client)
    secure = not gateway and all(url.startswith("https:") for url in client)
    guess: tuple[list[str], str] | None = None
    for conf in confs:
        both = conf.get("dfs.http.policy") == "HTTP_AND_HTTPS"
        found, name = addresses.namenodes(conf, filesystem, https=True if both and secure else None)
        if not found or (any(_is_loopback(url) for url in found) and not local):
            continue
        if name != _BY_NAME_ONLY:
            return found, f"{name} in {conf.source(name)}"
        guess = guess or (found, f"the host of {filesystem}, with Hadoop's default port")
    if guess and (gateway or (local and not any(_is_loopback(url) for url in guess[0]))):
        return guess
    return None


def partners(conf: HadoopConf, client: Sequence[str], filesystem: str, standby: bool) -> list[str]:
    """All NameNodes of the nameservice that the client's belong to; empty when it has one, or is not known.

    Args:
        conf: configuration of the cluster.
        client: the client's addresses.
        filesystem: Hadoop URL of the filesystem; empty: fs.defaultFS.
        standby: one of the client's answered as a standby. Then it is one of the filesystem's NameNodes, also when the
            configuration has another name for it. One that does not answer may be any server, such as HttpFS.
    """
    secure = all(url.startswith("https:") for url in client)
    services = addresses.nameservices(conf)
    named = {each: addresses.namenodes(conf, each, https=secure or addresses.https_only(conf))[0] for each in services}
    for found in named.values():
        if any(addresses.same_server(one, other) for one in found for other in client):
            return found
    wanted = filesystem or conf.get("fs.defaultFS") or ""
    return next((found for each, found in named.items() if standby and addresses.same_filesystem(each, wanted)), [])


def _is_loopback(url: str) -> bool:
    return is_loopback((urlsplit(url).hostname or "").rstrip("."))


__all__ = ["for_containers", "is_gateway", "partners"]
