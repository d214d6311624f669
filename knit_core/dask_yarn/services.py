"""What a Dask cluster is to Knit: an application of a scheduler and groups of workers. Pure."""

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
_STOP_GRACE = 10.0  # seconds for a worker to say good-bye
_MIB = 2**20


@shown
@dataclass(frozen=True)
class WorkerGroup:
    """Workers of one kind; a cluster has one group or several.

    Attributes:
        n_workers: containers at the start.
        memory: of each container: MiB, or "4 GiB".
        vcores: of each container.
        gpus: of each container (`yarn.io/gpu`).
        processes: Dask workers in each container; they share its memory and threads.
        threads: of each container; None: as many as vcores.
        memory_limit: bytes for each process, after which Dask restarts it; None: the container's memory with room left for
            the nanny and what Dask does not count (`memory_limit_of`).
        nanny: whether a nanny process watches and restarts each worker process.
        resources: other resource types of YARN, by name.
        worker_resources: Dask's abstract resources of each process: {"GPU": 1}.
        worker_class: dotted name of another class than `distributed.Worker`.
        preload: modules or files that each worker loads first.
        variables: environment variables.
        files: for the working folder.
        env: another environment than the cluster's.
        node_label, nodes, anti_affinity: where.
        ports: "40000:40100": where workers and nannies listen; any free port when empty.
        restarts: how often in ten minutes a worker's container is started again before it is given up.
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
        groups: by name; `scale` and `adapt` mean the first unless told otherwise.
        env: environment of all containers.
        scheduler_memory, scheduler_vcores, scheduler_label, scheduler_preload: of the scheduler's container.
        scheduler_ports, dashboard_ports: ranges "8786:8800"; any free port when empty.
        scheduler_restarts: how often in an hour the scheduler is started again after a failure of its own.
        local: the scheduler runs where the client is, not in a container.
        idle_timeout: seconds without a client and without work after which the cluster ends itself; 0: never.
        death_timeout: seconds that a worker waits for a scheduler.
        interface: network interface to listen on ("ib0"); empty: the address by which YARN knows the node.
        variables, files: for all containers.
        script: words of a Python command line: a program that runs in the application as Dask's client and ends it.
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
        """The same with another number and size of the first group's containers; None: as they are."""
        name, group = next(iter(self.groups.items()))
        changed = replace(
            group,
            n_workers=n_workers,
            vcores=group.vcores if vcores is None else vcores,
            memory=group.memory if memory is None else memory,
        )
        return replace(self, groups={**self.groups, name: changed})


# `env`, `variables` and `files` are the cluster's; so a group's own are only given in `groups`
_LAYOUT_OPTIONS = {f.name for f in fields(Layout)} - {"groups"}
_GROUP_OPTIONS = {f.name for f in fields(WorkerGroup)} - _LAYOUT_OPTIONS - {"n_workers"}


def layout_of(
    n_workers: int | None,
    groups: Mapping[str, WorkerGroup] | None,
    options: Mapping[str, Any],
    own: Iterable[str] = (),
) -> Layout:
    """A layout from one flat list of options: those of the only group, and those of the whole cluster.

    Args:
        n_workers: of the only group.
        groups: instead of it.
        options: by name.
        own: what the caller takes besides, for the hint at the nearest name.

    Raises:
        SpecError: an option that there is not, with the nearest one; options of a group beside `groups`.
    """
    group = {key: value for key, value in options.items() if key in _GROUP_OPTIONS}
    rest = {key: value for key, value in options.items() if key not in group}
    known = {"n_workers", "groups", *_GROUP_OPTIONS, *_LAYOUT_OPTIONS, *(name for name in own if name[0] != "_")}
    wrong = unknown_options((key for key in rest if key not in _LAYOUT_OPTIONS), known, "a Dask cluster")
    if groups is not None and (group or n_workers is not None):
        given = ", ".join([*group, *(["n_workers"] if n_workers is not None else [])])
        wrong.append(f"with `groups`, what belongs to a group stands there, not beside it: {given}")
    if wrong:
        raise SpecError(wrong)
    return Layout(dict(groups) if groups is not None else {WORKERS: WorkerGroup(n_workers or 0, **group)}, **rest)


def group_of(name: str, given: WorkerGroup | Mapping[str, Any]) -> WorkerGroup:
    """A group from its fields, as a DAG or a file has them.

    Args:
        name: the group's, for the message.
        given: the fields by name, or the group itself.

    Raises:
        SpecError: a field that there is not, with the nearest one.
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
    """Bytes for each worker process, so that the container's processes together stay below what YARN kills for.

    A tenth of the container is left (at least 64 MiB, with a nanny 128 MiB), but never more than a half.
    """
    if group.memory_limit is not None:
        return group.memory_limit
    whole = mebibytes(group.memory)
    room = min(max(whole // 10, 128 if group.nanny else 64), whole // 2)
    return (whole - room) * _MIB // group.processes


def specification(layout: Layout, tls_file: str = "", **application: Any) -> dict[str, Any]:
    """The application as a mapping for `Knit.submit`.

    Args:
        layout: the cluster.
        tls_file: path of the file with keys and certificates; empty: no TLS.
        application: further fields of ApplicationSpec (name, queue, tags …).

    Raises:
        SpecError: numbers that do not fit together.
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
    """What whoever scales or attaches has to know of the groups."""
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
        # `started` is enough: workers wait for the address, and load Dask while the scheduler does
        "depends_on": {} if layout.local else {SCHEDULER: "started"},
        "restart": {"policy": "always", "limit": group.restarts, "window": 600, "first_delay": 0.2},
        # without a scheduler of its own the application is nothing once its client has gone
        "fatal_codes": [dask_node.NO_DASK, *([dask_node.NO_SCHEDULER] if layout.local else [])],
        "required": False,
        "stop_grace": _STOP_GRACE,
    }


def _check(layout: Layout) -> None:
    wrong = []
    if not layout.groups:
        wrong.append("a cluster has at least one group of workers")
    for name, group in layout.groups.items():
        if name in {SCHEDULER, SCRIPT}:
            wrong.append(f"{name!r} is not a name for a group of workers: it is that of another service")
        if group.processes < 1:
            wrong.append(f"{name}: processes is at least 1, not {group.processes}")
        if group.processes > 1 and not group.nanny:
            wrong.append(f"{name}: several processes in a container need nannies")
        if group.memory_limit is not None and group.memory_limit * group.processes > mebibytes(group.memory) * _MIB:
            wrong.append(
                f"{name}: memory_limit of all processes is more than the container's memory: YARN would kill it"
            )
    if layout.local and layout.script:
        wrong.append("a script in the application needs the scheduler there, too")
    if wrong:
        raise SpecError(wrong)
