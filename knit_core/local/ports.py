"""Chooses the cluster's loopback ports: Hadoop's default ports where they are free, random ones otherwise."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Collection, Iterable, Mapping

from knit_core.local.errors import LocalClusterError
from knit_core.model.clock import Clock

WELL_KNOWN: dict[str, int] = {
    "namenode": 9820,
    "namenode-http": 9870,
    "datanode": 9866,
    "datanode-ipc": 9867,
    "datanode-http": 9864,
    "resourcemanager": 8032,
    "resourcemanager-http": 8088,
    "resourcemanager-scheduler": 8030,
    "resourcemanager-tracker": 8031,
    "resourcemanager-admin": 8033,
    "nodemanager": 8041,
    "nodemanager-localizer": 8040,
    "nodemanager-http": 8042,
    "kdc": 10088,
}
#: Further ports of a cluster with two NameNodes and two ResourceManagers.
OF_TWO: dict[str, int] = {
    "zookeeper": 2181,
    "zkfc": 8019,
    "zkfc-2": 8119,
    **{
        f"{name}-2": port + 10000
        for name, port in WELL_KNOWN.items()
        if name.startswith(("namenode", "resourcemanager"))
    },
}
#: Of gateways.
GATEWAYS: dict[str, int] = {"httpfs": 14000, "knox": 8443}
# Below Linux's ephemeral range (32768 and up): outgoing connections of other programs cannot take them.
RANGE = range(12000, 32000)

IsFree = Callable[[str, int], bool]


def node_address(node: int) -> str:
    """The loopback address of NodeManager `node` (from 1); YARN takes each for a separate host."""
    return f"127.0.0.{node}"


def node_ports(node: int) -> dict[str, str]:
    """Port names of NodeManager `node`, each with its name in `WELL_KNOWN`."""
    suffix = "" if node == 1 else f"-{node}"
    return {f"{name}{suffix}": name for name in WELL_KNOWN if name.startswith("nodemanager")}


def is_free(address: str, port: int) -> bool:
    """Whether a server can bind this address and port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def has_address(address: str) -> bool:
    """Whether this machine has the loopback address (macOS has only 127.0.0.1 unless more are added)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def check_addresses(nodes: int) -> None:
    """Check that this machine has the loopback address of each of so many NodeManagers.

    Raises:
        LocalClusterError: it lacks one; the message has the command that adds it.
    """
    lacking = [address for address in map(node_address, range(1, nodes + 1)) if not has_address(address)]
    if lacking:
        raise LocalClusterError(
            f"This machine has no address {lacking[0]}, which NodeManagers beyond the first need. "
            f"On macOS: sudo ifconfig lo0 alias {lacking[0]}"
        )


def wait_free(
    wanted: Iterable[tuple[str, int]], deadline: float, *, free: IsFree = is_free, clock: Clock = time
) -> bool:
    """Wait until all (address, port) pairs can be bound; False when `deadline` (of the clock's `monotonic`) has passed.

    The kernel closes the sockets of a killed JVM a little after it has become a zombie.
    """
    left = list(wanted)
    while left := [pair for pair in left if not free(*pair)]:
        if clock.monotonic() > deadline:
            return False
        clock.sleep(0.05)
    return True


def choose(
    nodes: int,
    remembered: Mapping[str, int],
    keep: Iterable[str] = (),
    *,
    ha: bool = False,
    gateways: Collection[str] = (),
    prefer_well_known: bool = True,
    free: IsFree = is_free,
    rng: random.Random | None = None,
) -> dict[str, int]:
    """Choose a port for every name.

    Args:
        nodes: number of NodeManagers.
        remembered: earlier choices; a port is used again when it is free, so that addresses stay the same.
        keep: names whose remembered port a running daemon of this cluster uses.
        ha: also for the second NameNode and ResourceManager.
        gateways: names of those in `GATEWAYS` that the cluster has.
        prefer_well_known: try Hadoop's default ports (8088, 9870 …) first.
        free: whether a port can be bound.
        rng: chooses the other ports.
    """
    rng = rng or random.Random()
    kept = set(keep)
    known_ports = {**WELL_KNOWN, **(OF_TWO if ha else {}), **{name: GATEWAYS[name] for name in gateways}}
    wanted = {name: (name, "127.0.0.1") for name in known_ports}
    for node in range(1, nodes + 1):
        wanted.update({name: (known, node_address(node)) for name, known in node_ports(node).items()})
    chosen = {name: remembered[name] for name in wanted if name in kept}
    taken = set(chosen.values())
    for name, (known, address) in wanted.items():
        if name in chosen:
            continue
        first = [remembered[name]] if name in remembered else []
        if prefer_well_known and address == "127.0.0.1":
            first.append(known_ports[known])
        port = next((port for port in first if port not in taken and free(address, port)), None)
        while port is None:
            attempt = rng.choice(RANGE)
            port = attempt if attempt not in taken and free(address, attempt) else None
        chosen[name] = port
        taken.add(port)
    return chosen
