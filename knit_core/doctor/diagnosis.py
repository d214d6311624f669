"""Checks all layers in their order, and stops at the first that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from knit_core.doctor import cluster_layers as layers
from knit_core.doctor.launch_layers import Launcher, launch_layers
from knit_core.doctor.runner import Runner
from knit_core.doctor.server_layers import ServerCheck, Service
from knit_core.hadoop.cluster import Cluster
from knit_core.model.connection_layers import CONFIGURATION, HDFS, RESOURCEMANAGER, LayerCheck, not_checked

LAUNCH_TIMEOUT = 120.0  # seconds at least for a layer that needs an application


def diagnose(
    cluster: Cluster, launcher: Launcher | None, timeout: float, on_start: Callable[[str], None] | None = None
) -> Iterator[LayerCheck]:
    """One result for each layer, each as soon as it is known.

    Args:
        cluster: the connections. Requests must not be repeated (`Cluster.retry_timeout`): a layer has `timeout` seconds.
        launcher: what launches; None: nothing is launched.
        timeout: seconds for each layer.
        on_start: called with the label of each layer when its check begins.
    """
    seen: list[LayerCheck] = []
    for result in _results(Runner(timeout, cluster.clock, on_start), cluster, launcher):
        seen.append(result)
        yield result
        if result.ok is False:
            yield from not_checked(seen)
            return
    yield from not_checked(seen, "not checked: nothing was to be launched")


def launch_timeout(timeout: float) -> float:
    """Seconds for a layer that needs an application."""
    return max(timeout, LAUNCH_TIMEOUT)


def _results(run: Runner, cluster: Cluster, launcher: Launcher | None) -> Iterator[LayerCheck]:
    yield run.check(CONFIGURATION, lambda: layers.configuration(cluster))
    manager = Service(
        RESOURCEMANAGER, cluster.resourcemanager.http, "/ws/v1/cluster/info", layers.identify_resourcemanager
    )
    yield from ServerCheck(run, manager).layers()
    yield run.check(CONFIGURATION, lambda: layers.namenodes(cluster), HDFS)
    yield from ServerCheck(run, Service(HDFS, cluster.hdfs.http, _HOME, layers.identify_namenode)).layers()
    yield from layers.cluster_layers(run, cluster)
    if launcher is not None:
        yield from launch_layers(run, launcher)


_HOME = "/webhdfs/v1/?op=GETHOMEDIRECTORY"

__all__ = ["diagnose", "launch_timeout"]
