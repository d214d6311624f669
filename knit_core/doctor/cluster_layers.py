"""The layers above the connections: configuration, user, HDFS, tokens, queue, nodes. Nothing is launched."""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from collections.abc import Iterator

from knit_core.config import Config
from knit_core.config.proxies import without_user
from knit_core.doctor.runner import Finding, Runner
from knit_core.errors import ConfigError, KnitError, QueueRefused, RequestRefused, ServiceUnavailable
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.connection_check import check_user
from knit_core.hadoop.delegation_tokens import tokens_for
from knit_core.hadoop.http import HttpService, Tickets
from knit_core.hadoop.http.retry import NEVER
from knit_core.hadoop.resource_manager import ResourceManager, or_empty, subclusters
from knit_core.hadoop.webhdfs import WebHdfs
from knit_core.hdfs_cache.staging import Staging
from knit_core.launch.cluster_query import features_of
from knit_core.model.connection_layers import FILESYSTEM, NODES, QUEUE, TOKENS, USER, LayerCheck
from knit_core.model.lenient_json import inside
from knit_core.model.queues import headroom_in, headroom_of, queues_of, scheduler_info
from knit_core.model.units import counted, show_memory
from knit_core.preflight import queue_problems, version_problem

SMALLEST = 384  # MiB of the doctor's ApplicationMaster and its container


def configuration(cluster: Cluster) -> Finding:
    """The settings with their sources, the trusted certificates, the proxy and the Kerberos ticket. Sends no request."""
    config = cluster.config
    address = config.settings["resourcemanager"]
    lines = [f"{name} {row['value']} ({row['source']})" for name, row in config.describe().items()]
    if "ca" not in config.settings:
        lines.append(
            "ca: the operating system's certificates, and those of the package certifi (ca, REQUESTS_CA_BUNDLE: not set)"
        )
    if config.hadoop is not None:
        files = dict.fromkeys(config.hadoop.sources.values())
        lines.append(f"Hadoop's configuration: {', '.join(files) or 'files without a property'}")
    proxies = config.proxies
    for proxy in dict.fromkeys(without_user(each) for each in (proxies.http, proxies.https) if each):
        lines.append(f"proxy {proxy}; reached without it: {', '.join(('this machine itself', *proxies.without))}")
    lines += _ticket(config)
    return Finding(f"ResourceManager {address} ({address.source})", details=tuple(lines))


def _ticket(config: Config) -> Iterator[str]:
    """A line for the Kerberos ticket, where one is there or is needed."""
    if config.get("auth") not in (None, "kerberos"):
        return
    cache, keytab, principal = (config.get(name) or "" for name in ("ticket_cache", "keytab", "principal"))
    tickets = Tickets(cache, keytab, principal)
    if keytab:
        yield f"Kerberos: {principal or 'the first principal'} of {tickets.source}"
        return
    try:
        found = tickets.principal("")
        yield f"Kerberos: a ticket of {found} in {tickets.source}"
    except KnitError as error:
        if config.get("auth") == "kerberos":
            yield f"Kerberos: no ticket that can be used: {str(error).partition(' ( asks')[0]}"


def namenodes(cluster: Cluster) -> Finding:
    """HDFS's addresses; the ResourceManager's configuration may be asked for them."""
    found, others = cluster.config.namenodes, cluster.config.container_namenodes
    lines = () if others.value == found.value else (f"for containers: {others.value} ({others.source})",)
    return Finding(f"{found.value} ({found.source})", details=lines)


def identify_resourcemanager(http: HttpService) -> str:
    """Which ResourceManager answers, and its state.

    Raises:
        UnexpectedReply: it is another server.
        ConfigError: its Hadoop is too old.
    """
    info = ResourceManager(http).info(NEVER)
    version = str(info.get("hadoopVersion") or "?")
    if problem := version_problem(version, http.address):
        raise ConfigError(problem)
    clusters = subclusters(info)
    if clusters:
        names = f"{counted(len(clusters), 'cluster')}: {', '.join(clusters)}"
        return f"Router of a YARN federation, Hadoop {version}; it stands for {names}"
    state = str(info.get("haState") or "").lower()
    words = {"standby": " (standby: requests go to the active one)", "initializing": " (it is starting)"}.get(
        state, f" ({state})" if state else ""
    )
    return f"ResourceManager{words}, Hadoop {version}"


def identify_namenode(http: HttpService) -> str:
    """Whether HDFS serves at an address. Raises KnitError when it does not."""
    hdfs = WebHdfs(http, NEVER)
    try:
        hdfs.status("/")
    except KnitError as error:
        if "standby" not in str(error).lower():
            raise
        return "NameNode (standby: requests go to the active one)"
    return "HDFS over HTTP (WebHDFS)"


def cluster_layers(run: Runner, cluster: Cluster) -> Iterator[LayerCheck]:
    """The results of user, HDFS, tokens, queue and nodes, until the first that fails."""
    for layer, work in (
        (USER, _user),
        (FILESYSTEM, _filesystem),
        (TOKENS, _tokens),
        (QUEUE, _queue),
        (NODES, _nodes),
    ):
        result = run.check(layer, lambda work=work: work(cluster))  # type: ignore[misc]
        yield result
        if result.ok is False:
            return


def _user(cluster: Cluster) -> Finding:
    config, rm, hdfs = cluster.config, cluster.resourcemanager, cluster.hdfs
    taken = ""
    with contextlib.suppress(KnitError):  # ResourceManagers before Hadoop 3.3, and some gateways, do not tell it
        reply = rm.http.get_json("/ws/v1/cluster/userinfo", action="get the user", retry=NEVER)
        taken = str(inside(reply, "clusterUserInfo", "requestedUser") or "")
    if taken:
        check_user(config, taken, f"The ResourceManager at {rm.address}")
    check_user(config, hdfs.home().rpartition("/")[2], f"HDFS at {hdfs.address}")
    source = config.settings["proxy_user" if "proxy_user" in config.settings else "user"].source
    servers = "ResourceManager and HDFS take" if taken else "HDFS takes"
    return Finding(f"{config.user} ({source}); {servers} us for this user")


def _filesystem(cluster: Cluster) -> Finding:
    """Make the staging folder, as every launch does, and write a small file there: that needs a DataNode, too."""
    config, hdfs = cluster.config, cluster.hdfs
    home, staging = hdfs.home(), config.staging
    Staging.of(cluster).prepare()
    path = f"{staging}/.doctor-{secrets.token_hex(8)}.tmp"
    try:
        hdfs.write(path, b"knit doctor\n")
    finally:
        with contextlib.suppress(KnitError):  # the first error is the one to tell
            hdfs.delete(path)
    return Finding(
        f"home folder {home}, staging folder {staging}: only {config.user} may write there, and a file was written"
    )


def _tokens(cluster: Cluster) -> Finding:
    if cluster.config.cluster_property("hadoop.security.authentication", "simple") == "simple":
        return Finding("not needed: the cluster uses simple authentication", applies=False)
    tokens = tokens_for(cluster.config, cluster.hdfs, cluster.resourcemanager)
    names = ", ".join(f"{alias} ({token.kind})" for alias, token in sorted(tokens.items()))
    return Finding(f"got {names}; they end unused when nobody renews them")


def _queue(cluster: Cluster) -> Finding:
    config, rm = cluster.config, cluster.resourcemanager
    try:
        scheduler = scheduler_info(rm.http.get_json("/ws/v1/cluster/scheduler", action="get the scheduler's queues"))
    except RequestRefused:
        return Finding("not known: only administrators may see the queues", applies=False)
    queues, wanted = queues_of(scheduler), config.get("queue") or "default"
    if not queues:
        return Finding("the scheduler has no queues (FIFO)", applies=False)
    problems = list(queue_problems(wanted, queues, rm.address))
    if problems and wanted != "default" and not features_of(config.learn()).placement:
        raise QueueRefused(problems[0], address=rm.address)
    if problems:
        return Finding(
            f"no queue is named; if the cluster's placement rules choose none, YARN refuses applications: {problems[0]}",
            QUEUE.advice,
        )
    free = headroom_in(headroom_of(scheduler), wanted)
    if free is None:
        return Finding(f"{wanted} accepts applications")
    text = f"{free.queue} accepts applications, {show_memory(free.memory)} and {counted(free.vcores, 'core')} are free"
    full = free.memory < SMALLEST or free.vcores < 1
    return Finding(text, "it is full now: applications wait until others end, or use another queue" if full else "")


def _nodes(cluster: Cluster) -> Finding:
    rm = cluster.resourcemanager
    try:
        totals = rm.totals()
    except RequestRefused:
        return Finding("not known: only administrators may see the nodes", applies=False)
    if not totals.nodes:
        states = Counter(node.state for node in or_empty(rm.nodes))
        there = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none is registered"
        raise ServiceUnavailable(f"no NodeManager is running ({there})", address=rm.address)
    text = (
        f"{counted(totals.nodes, 'NodeManager')} running, {show_memory(totals.memory)} and {totals.vcores} cores in all"
    )
    with contextlib.suppress(RequestRefused):  # the Router of a federation gives no id
        most = rm.new_application()
        text += f"; a container has at most {show_memory(most.memory)} and {counted(most.vcores, 'core')}"
    return Finding(text)


__all__ = [
    "cluster_layers", "configuration", "identify_namenode", "identify_resourcemanager", "namenodes",
]  # fmt: skip
