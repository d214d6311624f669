"""The NameNode of `nn` and `nn_port`: found in the cluster's configuration, and refused when it is another cluster's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from knit.exceptions import KnitException
from knit_core import Knit
from knit_core.config import HadoopConf, addresses, default_filesystem
from knit_core.config.hadoop_conf import from_reply
from knit_core.config.values import Value
from knit_core.errors import KnitError
from knit_core.hadoop.http.retry import NEVER

_RPC, _HTTP = 8020, 9870  # Hadoop's default ports
_WEB = ("dfs.namenode.http-address", "dfs.namenode.https-address")  # their host may be 0.0.0.0
_SOURCE = "nn and nn_port"


@dataclass(frozen=True)
class Hint:
    """What was given about the NameNode: its host (or the nameservice), its RPC port, its web port."""

    host: str
    port: int | None = None
    http_port: int | None = None


@dataclass(frozen=True)
class Place:
    """A NameNode.

    Attributes:
        urls: WebHDFS addresses.
        filesystem: Hadoop URL.
        sure: whether the cluster's configuration names it.
    """

    urls: tuple[str, ...]
    filesystem: str
    sure: bool


def place_of(hint: Hint, confs: Iterable[HadoopConf]) -> Place:
    """Where the NameNode of a hint is. Pure.

    Args:
        hint: what was given.
        confs: configurations of the cluster.

    Raises:
        KnitException: the port is not that of the cluster's HDFS, or no host is known.
    """
    urls, filesystem = _known(confs)
    if not filesystem:
        if not hint.host:
            raise KnitException(f"nn_port={hint.port} needs nn: no configuration of the cluster names its HDFS")
        return Place(_web([], hint), f"hdfs://{hint.host}:{hint.port or _RPC}", False)
    place = urlsplit(filesystem)
    service = place.port is None and len(urls) > 1  # a nameservice has no port of its own
    if hint.port is not None and not service and hint.port != (place.port or _RPC):
        raise KnitException(
            f"nn_port={hint.port} is not the port of the cluster's HDFS, {filesystem}: leave nn_port out"
        )
    hosts = {place.hostname or "", *(urlsplit(url).hostname or "" for url in urls)}
    if not hint.host or any(_same_host(hint.host, host) for host in hosts):
        return Place(tuple(urls) if hint.http_port is None else _web(urls, hint), filesystem, hint.http_port is None)
    return Place(_web(urls, hint), filesystem, False)


def _known(confs: Iterable[HadoopConf]) -> tuple[list[str], str]:
    """WebHDFS addresses and Hadoop URL of the cluster's HDFS: as a property names them, else as its name lets guess."""
    guess: tuple[list[str], str] = ([], "")
    for conf in confs:
        filesystem, _ = default_filesystem.hdfs_of(conf)
        urls, name = addresses.namenodes(conf, filesystem)
        if filesystem and urls and (name != "fs.defaultFS" or any(conf.get(each) for each in _WEB)):
            return urls, filesystem
        if filesystem and not guess[1]:
            guess = urls, filesystem
    return guess


def _web(urls: list[str], hint: Hint) -> tuple[str, ...]:
    """The WebHDFS address of the host, with the web port of the cluster's NameNode."""
    if "://" in hint.host:
        return (hint.host,)
    parts = urlsplit(urls[0] if urls else "http://")
    return (f"{parts.scheme}://{hint.host or parts.hostname}:{hint.http_port or parts.port or _HTTP}",)


def _same_host(one: str, other: str) -> bool:
    return addresses.same_server(f"http://{one.lower()}:1", f"http://{other.lower()}:1")


def use(client: Knit, hint: Hint) -> None:
    """Let a client use the NameNode of a hint. Call it before the client's first use of HDFS.

    Raises:
        KnitException: it belongs to another cluster, or the port is not that of the cluster's HDFS.
        KnitError: the ResourceManager does not answer.
    """
    config = client.config
    remote = config.learn()
    confs = [conf for conf in (config.hadoop, remote) if conf is not None]
    confs = [*confs[1:], *confs[:1]] if remote is not None else confs
    place = place_of(hint, confs)
    if config.behind_gateway and not place.sure and _known(confs)[1]:
        raise KnitException(
            f"nn={hint.host} is none of the NameNodes of {place.filesystem}, the HDFS of the cluster behind the gateway. "
            "Leave nn out: files are sent through the gateway"
        )
    if not config.behind_gateway and not (place.sure and "namenode" in config.settings):
        config.settings["namenode"] = Value(",".join(place.urls), _SOURCE)
    config.settings["filesystem"] = Value(place.filesystem, _SOURCE)
    if config.behind_gateway:
        return  # its WebHDFS is the cluster's own
    if not place.sure and remote is not None:
        _check_own(client, place, remote)


def _check_own(client: Knit, place: Place, remote: HadoopConf) -> None:
    """Check that the NameNode has the filesystem that the ResourceManager's configuration names.

    A server that does not tell its configuration (HttpFS, a closed /conf) is used as it was given.
    """
    hdfs = client.hdfs
    try:
        reply = hdfs.http.get_json("/conf", action="read the NameNode's configuration", retry=NEVER)
        theirs = default_filesystem.hdfs_of(from_reply(reply, hdfs.address))[0]
    except KnitError:
        return
    ours = default_filesystem.hdfs_of(remote)[0]
    if theirs and ours and not addresses.same_filesystem(theirs, ours):
        raise KnitException(
            f"The NameNode at {hdfs.address} ({_SOURCE}) belongs to another cluster: it serves {theirs}, and the "
            f"ResourceManager at {client.resourcemanager.address} uses {ours}. Nothing was uploaded. "
            "Leave nn and nn_port out, or give the cluster's own"
        )


__all__ = ["Hint", "Place", "place_of", "use"]
