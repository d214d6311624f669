"""Decides what `LocalCluster.up` brings up: Java, Hadoop's jars, settings and ports."""

from __future__ import annotations

import getpass
import os
import pwd
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from knit_core.local import daemons, hadoop_versions, jars, ports
from knit_core.local.configuration_files import SCHEDULERS, Setup
from knit_core.local.errors import LocalClusterError
from knit_core.local.gateways import httpfs, knox_files
from knit_core.local.java import find_java
from knit_core.local.paths import HADOOP_VERSION, cache_root, jars_root
from knit_core.local.records import Record, Step
from knit_core.model.units import counted

_MOST_NODES = 64
_KNOX_USERS = ("alice", "bob")  # beside the user who runs the cluster


@dataclass(frozen=True)
class Asked:
    """Arguments of `LocalCluster.up`; None: as the running cluster, or the default."""

    nodes: int | None = None
    recovery: bool | None = None
    settings: Mapping[str, str] | None = None
    queues: Sequence[str] | None = None
    kerberos: bool | None = None
    tls: bool | None = None
    users: Sequence[str] | None = None
    scheduler: str | None = None
    ha: bool | None = None
    hadoop: str | None = None
    httpfs: bool | None = None
    knox: bool | None = None

    def given(self) -> dict[str, Any]:
        """Those that are given, but for the number of nodes, as `Setup` has them."""
        found: dict[str, Any] = {
            "recovery": self.recovery,
            "settings": None if self.settings is None else dict(self.settings),
            "queues": None if self.queues is None else tuple(self.queues),
            "kerberos": self.kerberos,
            "tls": self.tls,
            "scheduler": self.scheduler,
            "ha": self.ha,
            "hadoop": self.hadoop,
            "httpfs": self.httpfs,
            "knox": self.knox,
        }
        return {name: value for name, value in found.items() if value is not None}


def plan(state_dir: Path, living: Sequence[str], asked: Asked, report: Callable[[Step], None]) -> Record:
    """The cluster to bring up: the arguments; for those not given, the values of the running cluster or the defaults.

    Args:
        state_dir: the cluster's folder.
        living: names of the daemons that run.
        asked: the arguments.
        report: called with each step.

    Raises:
        NoJava, JarsUnavailable: what the daemons need is missing and cannot be fetched.
        LocalClusterError: the cluster runs with other settings.
    """
    previous = Record.read(state_dir)
    if previous is not None and asked.hadoop not in (None, previous.setup.hadoop):
        raise LocalClusterError(
            f"The cluster in {state_dir} was made with Hadoop {previous.setup.hadoop}, and so were the files of its HDFS. "
            "Delete it first (knit local down --delete), or use another folder (--state)."
        )
    if previous and living:
        old = previous.setup
        users = tuple(dict.fromkeys((*old.users, *(asked.users or ()))))
        setup = replace(old, nodes=max(asked.nodes or 1, old.nodes), users=users, **asked.given())
        added: dict[str, Any] = {"nodes": old.nodes, "users": old.users, "httpfs": old.httpfs and setup.httpfs}
        added["knox"] = old.knox and setup.knox
        if replace(setup, **added) != old:
            raise LocalClusterError(
                f"The cluster in {state_dir} runs with other settings (recovery {old.recovery}, scheduler "
                f"{old.scheduler}, queues {','.join(old.queues)}, Kerberos {old.kerberos}, TLS {old.tls}, "
                f"high availability {old.ha}, HttpFS {old.httpfs}, Knox {old.knox}, "
                f"{dict(old.settings) or 'no properties of its own'}). "
                "Stop it first (knit local down), or use another folder (--state)."
            )
        _check_together(setup)
        java = previous.java
    else:
        version = asked.hadoop or (previous.setup.hadoop if previous else HADOOP_VERSION)
        base = Setup(state_dir, Path(), {}, running_user(), asked.nodes or 1, hadoop=version)
        setup = replace(base, users=tuple(dict.fromkeys(asked.users or ())), **asked.given())
        _check_same_security(previous, setup)
        _check_together(setup)
        java = find_java(oldest=hadoop_versions.oldest_java(version))
        report(Step("java", f"{java.version} (from {java.source})", done=True))
        if (untried := hadoop_versions.warning(version)) is not None:
            report(Step("warning", untried, done=True))
        setup = replace(setup, jars=_obtain(jars_root(version), jars.hadoop(version), report).folder)
    setup = replace(setup, gateway_jars=_gateway_jars(setup, report))
    if setup.knox and not setup.users:
        setup = replace(setup, users=_KNOX_USERS)
    keep = [port for name in living for port in ports_of(name)]
    known = cache_root() in state_dir.parents
    return Record(with_ports(setup, previous.setup.ports if previous else {}, keep, prefer_well_known=known), java)


def with_ports(
    setup: Setup, remembered: Mapping[str, int], keep: Iterable[str] = (), *, prefer_well_known: bool
) -> Setup:
    """The cluster with a port for each name; the arguments are those of `ports.choose`."""
    gateways = daemons.gateways_of(setup)
    chosen = ports.choose(
        setup.nodes, remembered, keep, ha=setup.ha, gateways=gateways, prefer_well_known=prefer_well_known
    )
    return replace(setup, ports=chosen)


def _obtain(root: Path, bundle: jars.Bundle, report: Callable[[Step], None]) -> jars.Jars:
    """The jars of a bundle. The step in the report is named like the product."""
    name = bundle.product.lower()
    found = jars.obtain(root, bundle, lambda text: report(Step(name, f"{bundle.version}, {text}")))
    once = "downloaded now" if found.fresh else "downloaded once"
    report(Step(name, f"{bundle.version}, {found.count} jars, {found.size / 1e6:.0f} MB ({once})", done=True))
    return found


def _gateway_jars(setup: Setup, report: Callable[[Step], None]) -> dict[str, Path]:
    """The folders with the jars of the cluster's gateways, by daemon. Those of a running cluster are known."""
    found = dict(setup.gateway_jars)
    if setup.httpfs and httpfs.HTTPFS not in found:
        found[httpfs.HTTPFS] = _obtain(jars_root(f"httpfs-{setup.hadoop}"), httpfs.bundle(setup.hadoop), report).folder
    if setup.knox and knox_files.KNOX not in found:
        root = cache_root() / f"knox-{knox_files.VERSION}"
        found[knox_files.KNOX] = _obtain(root, knox_files.bundle(), report).folder
    return found


def _check_together(setup: Setup) -> None:
    """Refuse options that do not work together, before anything is downloaded."""
    if setup.httpfs and setup.hadoop in httpfs.ABSENT:
        raise LocalClusterError(
            f"There is no HttpFS of Hadoop {setup.hadoop} on Maven Central (hadoop-hdfs-httpfs). Leave httpfs out, or use "
            f"another version (hadoop {HADOOP_VERSION})."
        )
    if setup.httpfs and setup.kerberos:
        raise LocalClusterError(
            "httpfs and kerberos do not go together here: a launch needs a delegation token of the NameNode, and HttpFS gives "
            "tokens of its own only. Leave one of them out."
        )


def _check_same_security(previous: Record | None, setup: Setup) -> None:
    """Refuse to bring HDFS's content up with other users or another set of NameNodes."""
    if previous is not None and previous.setup.ha != setup.ha:
        count = counted(2 if previous.setup.ha else 1, "NameNode")
        raise LocalClusterError(
            f"The cluster in {setup.state} was made with {count}. Delete it first (knit local down --delete), or use another "
            "folder (--state)."
        )
    if previous is not None and previous.setup.kerberos != setup.kerberos:
        was = "with" if previous.setup.kerberos else "without"
        raise LocalClusterError(
            f"The cluster in {setup.state} was made {was} Kerberos, and its files belong to the users of then. Delete it "
            "first (knit local down --delete), or use another folder (--state)."
        )


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
    role, _, number = name.partition("-")
    found = [port for port in ports.WELL_KNOWN if port == role or port.startswith(f"{role}-")] or [role]
    return [f"{port}-{number}" for port in found] if number else found


def check_arguments(asked: Asked) -> None:
    """Check arguments of `LocalCluster.up`.

    Raises:
        LocalClusterError: one is invalid.
    """
    nodes, queues, users, scheduler = asked.nodes, asked.queues, asked.users, asked.scheduler
    if asked.hadoop is not None:
        hadoop_versions.check_version(asked.hadoop)
    if nodes is not None and not 1 <= nodes <= _MOST_NODES:
        raise LocalClusterError(f"nodes={nodes}: a cluster has 1 to {_MOST_NODES} NodeManagers.")
    if scheduler is not None and scheduler not in SCHEDULERS:
        raise LocalClusterError(f"scheduler {scheduler!r}: {' or '.join(SCHEDULERS)}.")
    for queue in queues or ():
        if not queue or not all(character.isalnum() or character in "_-" for character in queue):
            raise LocalClusterError(f"queue {queue!r}: the name of a queue has only letters, digits, _ and -.")
    for user in users or ():
        if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", user):
            raise LocalClusterError(f"user {user!r}: a name has small letters, digits, _ and -.")
    if queues is not None and (not queues or len(set(queues)) != len(queues)):
        raise LocalClusterError("queues: give at least one, each once.")
