"""Decides what `LocalCluster.up` brings up: Java, Hadoop's jars, settings and ports."""

from __future__ import annotations

import getpass
import os
import pwd
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from knit_core.local import daemons, jars, ports
from knit_core.local.configuration_files import CAPACITY, SCHEDULERS, Setup
from knit_core.local.errors import LocalClusterError
from knit_core.local.java import find_java
from knit_core.local.paths import HADOOP_VERSION, cache_root, jars_root
from knit_core.local.records import Record, Step

_MOST_NODES = 64


def plan(
    state_dir: Path,
    living: Sequence[str],
    nodes: int | None,
    recovery: bool | None,
    settings: Mapping[str, str] | None,
    queues: Sequence[str] | None,
    report: Callable[[Step], None],
    scheduler: str | None = None,
) -> Record:
    """The cluster to bring up: the arguments; for those not given, the values of the running cluster or the defaults.

    Args:
        state_dir: the cluster's folder.
        living: names of the daemons that run.
        nodes, recovery, settings, queues, scheduler: as of `LocalCluster.up`.
        report: called with each step.

    Raises:
        NoJava, JarsUnavailable: what the daemons need is missing and cannot be fetched.
        LocalClusterError: the cluster runs with other settings.
    """
    previous = Record.read(state_dir)
    if previous and living:
        old = previous.setup
        asked = replace(
            old,
            nodes=max(nodes or 1, old.nodes),
            recovery=old.recovery if recovery is None else recovery,
            settings=old.settings if settings is None else dict(settings),
            queues=old.queues if queues is None else tuple(queues),
            scheduler=scheduler or old.scheduler,
        )
        if replace(asked, nodes=old.nodes) != old:
            raise LocalClusterError(
                f"The cluster in {state_dir} runs with other settings (recovery {old.recovery}, scheduler "
                f"{old.scheduler}, queues {','.join(old.queues)}, {dict(old.settings) or 'no properties of its own'}). "
                "Stop it first (knit local down), or use another folder (--state)."
            )
        java, found = previous.java, jars.Jars(old.jars, 0, 0)
    else:
        java = find_java()
        report(Step("java", f"{java.version} (from {java.source})", done=True))
        found = jars.obtain(jars_root(), lambda text: report(Step("hadoop", f"{HADOOP_VERSION}, {text}")))
        once = "downloaded now" if found.fresh else "downloaded once"
        report(Step("hadoop", f"{HADOOP_VERSION}, {found.count} jars, {found.size / 1e6:.0f} MB ({once})", done=True))
        asked = Setup(
            state=state_dir,
            jars=found.folder,
            ports={},
            user=running_user(),
            nodes=nodes or 1,
            recovery=bool(recovery),
            settings=dict(settings or {}),
            queues=tuple(queues or ("default",)),
            scheduler=scheduler or CAPACITY,
        )
    keep = [port for name in living for port in ports_of(name)]
    known = cache_root() in state_dir.parents
    chosen = ports.choose(asked.nodes, previous.setup.ports if previous else {}, keep, prefer_well_known=known)
    return Record(replace(asked, ports=chosen), java)


def running_user() -> str:
    """The user that this process runs as; variables such as USER are not used."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return getpass.getuser()


def ports_of(name: str) -> list[str]:
    """Names of the ports that a daemon listens on."""
    node = daemons.node_number(name)
    if node:
        return list(ports.node_ports(node))
    return [port for port in ports.WELL_KNOWN if port == name or port.startswith(f"{name}-")]


def check_arguments(nodes: int | None, queues: Sequence[str] | None, scheduler: str | None = None) -> None:
    """Check arguments of `LocalCluster.up`.

    Raises:
        LocalClusterError: one is invalid.
    """
    if nodes is not None and not 1 <= nodes <= _MOST_NODES:
        raise LocalClusterError(f"nodes={nodes}: a cluster has 1 to {_MOST_NODES} NodeManagers.")
    if scheduler is not None and scheduler not in SCHEDULERS:
        raise LocalClusterError(f"scheduler {scheduler!r}: {' or '.join(SCHEDULERS)}.")
    for queue in queues or ():
        if not queue or not all(character.isalnum() or character in "_-" for character in queue):
            raise LocalClusterError(f"queue {queue!r}: the name of a queue has only letters, digits, _ and -.")
    if queues is not None and (not queues or len(set(queues)) != len(queues)):
        raise LocalClusterError("queues: give at least one, each once.")
