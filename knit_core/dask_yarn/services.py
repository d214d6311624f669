"""A Dask cluster as an application: services for the scheduler and for groups of workers. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from knit_core.dask_yarn.programs import dask_node
from knit_core.errors import SpecError
from knit_core.model.representation import shown
from knit_core.model.units import mebibytes, seconds
from knit_core.spec.problems import unknown_options

PROGRAM = Path(dask_node.__file__)
PAGES = PROGRAM.with_name("dask_page.py")
SCHEDULER_KEY, TLS_FILE = dask_node.SCHEDULER_KEY, dask_node.TLS_FILE
SCHEDULER, WORKERS, SCRIPT, TAG = "scheduler", "worker", "script", "dask"
_STOP_GRACE = 10.0  # seconds for a worker's orderly end
_MIB = 2**20


@shown
@dataclass(frozen=True)
class WorkerGroup:
    """A group of equal workers; a cluster has one or several groups.

    Attributes:
        n_workers: number of containers at the start.
        memory: of each container: MiB, or "4 GiB".
        vcores: of each container.
        gpus: of each container (`yarn.io/gpu`).
        processes: Dask workers in each container; they share its memory and threads.
        threads: of each container; None for the number of vcores.
        memory_limit: bytes of each process above which Dask restarts it; None for the container's memory less a reserve for
            the nanny and for memory that Dask does not count (`memory_limit_of`).
        nanny: whether a nanny process watches and restarts each worker process.
        resources: other resource types of YARN, by name.
        worker_resources: Dask's abstract resources of each process: {"GPU": 1}.
        worker_class: dotted name of a class in place of `distributed.Worker`.
        preload: modules or files that each worker loads at its start.
        variables: environment variables.
        files: for the working folder.
        env: environment in place of the cluster's.
        node_label, nodes, anti_affinity: placement of the containers.
        ports: range "40000:40100" for workers and nannies; empty for any free port.
        restarts: maximum number of restarts of a worker's container in ten minutes.
    """

    n_workers: int = 0
    memory: int | str = 2048
    vcores: int = 1
    gpus: int = 0
    processes: int = 1
    threads: int | None = None
    memory_limit: int | None = None
    nanny: bool = True
    resources: Mapping[str, int] = field(default_factory=dict)
    worker_resources: Mapping[str, float] = field(default_factory=dict)
    worker_class: str = ""
    preload: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Any] = ()
    env: Any = None
    node_label: str = ""
    nodes: Sequence[str] = ()
    anti_affinity: bool = False
    ports: str = ""
    restarts: int = 10


@shown
@dataclass(frozen=True)
class Layout:
    """A whole cluster.

    Attributes:
        groups: by name; `scale` and `adapt` use the first one by default.
        env: environment of all containers.
        scheduler_memory, scheduler_vcores, scheduler_label, scheduler_preload: of the scheduler's container.
        scheduler_ports, dashboard_ports: ranges "8786:8800"; empty for any free port.
        scheduler_restarts: maximum number of restarts of the scheduler in an hour, after its own failures.
        local: the scheduler runs in the client's process, not in a container.
        idle_timeout: seconds without clients and work after which the cluster ends itself; 0 for never.
        death_timeout: seconds that a worker waits for a scheduler.
        interface: network interface to listen on ("ib0"); empty for the node's address in YARN.
        variables, files: for all containers.
        script: words of a Python command line: a program that runs in the application as Dask's client; the application ends
            with it.
    """

    groups: Mapping[str, WorkerGroup]
    env: Any = None
    scheduler_memory: int | str = 1024
    scheduler_vcores: int = 1
    scheduler_label: str = ""
    scheduler_preload: Sequence[str] = ()
    scheduler_ports: str = ""
    dashboard_ports: str = ""
    scheduler_restarts: int = 3
    local: bool = False
    idle_timeout: float | str = 1800.0
    death_timeout: float | str = 60.0
    interface: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Any] = ()
    script: Sequence[str] = ()

    def sized(self, n_workers: int, vcores: int | None, memory: int | str | None) -> Layout:
        """A layout with another number and size of the first group's containers; None keeps a value."""
        name, group = next(iter(self.groups.items()))
        changed = replace(
            group,
            n_workers=n_workers,
            vcores=group.vcores if vcores is None else vcores,
            memory=group.memory if memory is None else memory,
        )
        return replace(self, groups={**self.groups, name: changed})


# `env`, `variables` and `files` of the flat options are the cluster's; those of a group are only possible in `groups`
_LAYOUT_OPTIONS = {f.name for f in fields(Layout)} - {"groups"}
_GROUP_OPTIONS = {f.name for f in fields(WorkerGroup)} - _LAYOUT_OPTIONS - {"n_workers"}


def layout_of(
    n_workers: int | None,
    groups: Mapping[str, WorkerGroup] | None,
    options: Mapping[str, Any],
    own: Iterable[str] = (),
) -> Layout:
    """A layout from flat options: those of a single group, and those of the whole cluster.

    Args:
        n_workers: of the single group.
        groups: several groups, in place of the single one.
        options: by name.
        own: the caller's other arguments, for suggestions.

    Raises:
        SpecError: an option is unknown (with the most similar one), or options of a group are combined with `groups`.
    """
    group = {key: value for key, value in options.items() if key in _GROUP_OPTIONS}
    rest = {key: value for key, value in options.items() if key not in group}
    known = {"n_workers", "groups", *_GROUP_OPTIONS, *_LAYOUT_OPTIONS, *(name for name in own if name[0] != "_")}
    wrong = unknown_options((key for key in rest if key not in _LAYOUT_OPTIONS), known, "a Dask cluster")
    if groups is not None and (group or n_workers is not None):
        given = ", ".join([*group, *(["n_workers"] if n_workers is not None else [])])
        wrong.append(f"with `groups`, set the options of a group in it: {given}")
    if wrong:
        raise SpecError(wrong)
    return Layout(dict(groups) if groups is not None else {WORKERS: WorkerGroup(n_workers or 0, **group)}, **rest)


def group_of(name: str, given: WorkerGroup | Mapping[str, Any]) -> WorkerGroup:
    """A group from its fields, for example from a DAG or a file.

    Args:
        name: of the group, for messages.
        given: the fields by name, or a group.

    Raises:
        SpecError: a field is unknown; with the most similar one.
    """
    if isinstance(given, WorkerGroup):
        return given
    known = [each.name for each in fields(WorkerGroup)]
    wrong = []
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            wrong.append(f"{name}: {key} is no option of a group" + (f"; did you mean {near[0]!r}?" if near else ""))
    if wrong:
        raise SpecError(wrong)
    return WorkerGroup(**given)


def memory_limit_of(group: WorkerGroup) -> int:
    """Bytes of each worker process, so that the container's processes together stay below YARN's limit.

    The reserve is a tenth of the container (at least 64 MiB, with a nanny 128 MiB), and at most a half.
    """
    if group.memory_limit is not None:
        return group.memory_limit
    whole = mebibytes(group.memory)
    reserve = min(max(whole // 10, 128 if group.nanny else 64), whole // 2)
    return (whole - reserve) * _MIB // group.processes


def specification(layout: Layout, tls_file: str = "", **application: Any) -> dict[str, Any]:
    """The application as a mapping for `Knit.submit`.

    Args:
        layout: the cluster.
        tls_file: path of the file with keys and certificates; empty without TLS.
        application: further fields of ApplicationSpec (name, queue, tags …).

    Raises:
        SpecError: options contradict each other.
    """
    _check(layout)
    shared = [{"source": str(PROGRAM), "name": PROGRAM.name}, *layout.files]
    if tls_file:
        shared.append({"source": tls_file, "name": TLS_FILE})
    death = seconds(layout.death_timeout)
    services: dict[str, Any] = {}
    if not layout.local:
        services[SCHEDULER] = {
            "command": ["python", PROGRAM.name, "scheduler", json.dumps(_scheduler_options(layout))],
            "memory": layout.scheduler_memory,
            "vcores": layout.scheduler_vcores,
            "node_label": layout.scheduler_label,
            "environment": layout.env,
            "variables": dict(layout.variables),
            "files": [{"source": str(PAGES), "name": PAGES.name}, *shared],
            "manages": True,
            "readiness": {"report": True},
            "restart": {"policy": "on-failure", "limit": layout.scheduler_restarts, "window": 3600, "first_delay": 0.2},
            "fatal_codes": [dask_node.NO_DASK],
            "stop_grace": 5,
        }
    for name, group in layout.groups.items():
        services[name] = _workers(layout, group, shared, death)
    completion: list[str] = []
    if layout.script:
        completion = [SCRIPT]
        options = json.dumps({"death_timeout": 300})
        services[SCRIPT] = {
            **{key: services[SCHEDULER][key] for key in ("memory", "vcores", "environment", "variables")},
            "files": shared,
            "command": ["python", PROGRAM.name, "script", options, *layout.script],
            "depends_on": {SCHEDULER: "started"},
        }
    tags = [*(application.pop("tags", None) or ()), TAG]
    return {"services": services, "completion": completion, "tags": tags, **application}


def described(layout: Layout) -> dict[str, Any]:
    """The properties of the groups that clients need."""
    return {
        name: {"processes": group.processes, "resources": dict(group.worker_resources)}
        for name, group in layout.groups.items()
    }


def _scheduler_options(layout: Layout) -> dict[str, Any]:
    return {
        "idle_timeout": seconds(layout.idle_timeout),
        "ports": layout.scheduler_ports,
        "dashboard_ports": layout.dashboard_ports,
        "preload": list(layout.scheduler_preload),
        "interface": layout.interface or None,
        "groups": described(layout),
    }


def _workers(layout: Layout, group: WorkerGroup, shared: Sequence[Any], death: float) -> dict[str, Any]:
    options = {
        "threads": max(1, (group.threads or group.vcores) // group.processes),
        "processes": group.processes,
        "memory_limit": memory_limit_of(group),
        "nanny": group.nanny,
        "worker_resources": dict(group.worker_resources),
        "worker_class": group.worker_class,
        "preload": list(group.preload),
        "ports": group.ports,
        "interface": layout.interface or None,
        "death_timeout": death,
    }
    return {
        "command": ["python", PROGRAM.name, "worker", json.dumps(options)],
        "instances": group.n_workers,
        "memory": group.memory,
        "vcores": group.vcores,
        "gpus": group.gpus,
        "resources": dict(group.resources),
        "environment": group.env if group.env is not None else layout.env,
        "variables": {**layout.variables, **group.variables},
        "files": [*shared, *group.files],
        "node_label": group.node_label,
        "nodes": list(group.nodes),
        "anti_affinity": group.anti_affinity,
        # `started` is enough: workers wait for the address, and load Dask in the meantime
        "depends_on": {} if layout.local else {SCHEDULER: "started"},
        "restart": {"policy": "always", "limit": group.restarts, "window": 600, "first_delay": 0.2},
        # with a local scheduler the application is useless after its client's end
        "fatal_codes": [dask_node.NO_DASK, *([dask_node.NO_SCHEDULER] if layout.local else [])],
        "required": False,
        "stop_grace": _STOP_GRACE,
    }


def _check(layout: Layout) -> None:
    wrong = []
    if not layout.groups:
        wrong.append("a cluster must have at least one group of workers")
    for name, group in layout.groups.items():
        if name in {SCHEDULER, SCRIPT}:
            wrong.append(f"{name!r} cannot be the name of a group of workers: it is reserved for another service")
        if group.processes < 1:
            wrong.append(f"{name}: processes must be at least 1, not {group.processes}")
        if group.processes > 1 and not group.nanny:
            wrong.append(f"{name}: several processes in a container require nannies")
        if group.memory_limit is not None and group.memory_limit * group.processes > mebibytes(group.memory) * _MIB:
            wrong.append(
                f"{name}: memory_limit of all processes exceeds the container's memory: YARN would kill the container"
            )
    if layout.local and layout.script:
        wrong.append("a script in the application requires a scheduler in the application")
    if wrong:
        raise SpecError(wrong)
