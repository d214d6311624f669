"""Tests the connection to a cluster: ResourceManager, user and HDFS."""

from __future__ import annotations

from knit_core.config import Config
from knit_core.config.gateways import topology
from knit_core.config.identity import same_user
from knit_core.config.proxies import without_user
from knit_core.errors import ConfigError
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.resource_manager import subclusters
from knit_core.model.units import counted
from knit_core.preflight import version_problem


def check_connection(cluster: Cluster) -> list[str]:
    """Send requests to ResourceManager and HDFS; a line for each result.

    Raises:
        ConfigError: the cluster's Hadoop is too old, or HDFS takes the user for another one.
        KnitError: of the first request that fails.
    """
    config, info, address = cluster.config, cluster.resourcemanager.info(), cluster.resourcemanager.address
    version = str(info.get("hadoopVersion") or "?")
    if problem := version_problem(version, address):
        raise ConfigError(problem)
    clusters = subclusters(info)
    server = "ResourceManager" if not clusters else "Router of a YARN federation"
    lines = [
        f"{server} {address} {info.get('state', '?')}, "
        f"Hadoop {version} ({config.settings['resourcemanager'].source})"
        + (f"; it stands for {counted(len(clusters), 'cluster')}: {', '.join(clusters)}" if clusters else ""),
        f"user {config.user} ({config.settings['user'].source})",
    ]
    route = cluster.resourcemanager.http.route()
    if route.service:
        lines += [f"gateway {topology(route.base)}: {route.service} of Knox leads to the ResourceManager"]
        lines += [f"note: {lack}" for lack in route.lacks]
    proxies = config.proxies
    for proxy in dict.fromkeys(without_user(each) for each in (proxies.http, proxies.https) if each):
        lines.append(f"proxy {proxy}; reached without it: {', '.join(('this machine itself', *proxies.without))}")
    cluster.hdfs.status("/")  # a standby answers the request for the home folder, too, but not this one
    home = cluster.hdfs.home()
    check_user(config, home.rpartition("/")[2], f"HDFS at {cluster.hdfs.address}")
    lines.append(f"HDFS {cluster.hdfs.address}, home {home} ({config.namenodes.source})")
    for_containers = config.container_namenodes
    if for_containers.value != config.namenodes.value:
        lines.append(f"HDFS for containers {for_containers.value} ({for_containers.source})")
    return lines


def check_user(config: Config, taken: str, server: str) -> None:
    """Check for whom a server takes us.

    Args:
        config: with the user that requests state.
        taken: the user as the server names it.
        server: for the message.

    Raises:
        ConfigError: it is another one.
    """
    if not same_user(config.user, taken):
        source = config.settings["proxy_user" if "proxy_user" in config.settings else "user"].source
        raise ConfigError(
            f"{server} takes us for {taken}, not for {config.user} ({source}), and so will the other services: {_remedy(config)}"
        )


def _remedy(config: Config) -> str:
    if config.has_credentials:
        what = "password" if config.get("auth") == "basic" else "token"
        return (
            f"a {what} (auth: {config.get('auth')}) is for a gateway such as Knox, and only that gets it, so give the gateway's "
            f"addresses for resourcemanager and namenode, or remove auth and {what} where the cluster accepts user names without "
            "a password"
        )
    return "the cluster or its gateway needs authentication (auth: basic), or set user to that name"


__all__ = ["check_connection", "check_user"]
