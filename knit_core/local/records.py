"""The record in a cluster's folder, and the values that `status` and `progress` give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from knit_core.local.configuration_files import CAPACITY, Setup
from knit_core.local.java import Java
from knit_core.local.paths import HADOOP_VERSION
from knit_core.local.processes import write_text
from knit_core.model.representation import shown

FORMAT = 1


@shown
@dataclass(frozen=True)
class Record:
    """A cluster as it was last brought up."""

    setup: Setup
    java: Java

    def write(self) -> None:
        setup = self.setup
        data = {
            "format": FORMAT,
            "jars": str(setup.jars),
            "ports": dict(setup.ports),
            "user": setup.user,
            "nodes": setup.nodes,
            "recovery": setup.recovery,
            "queues": list(setup.queues),
            "settings": dict(setup.settings),
            "kerberos": setup.kerberos,
            "tls": setup.tls,
            "users": list(setup.users),
            "ha": setup.ha,
            "scheduler": setup.scheduler,
            "hadoop": setup.hadoop,
            "httpfs": setup.httpfs,
            "knox": setup.knox,
            "gateway_jars": {name: str(folder) for name, folder in setup.gateway_jars.items()},
            "java": {"home": str(self.java.home), "version": self.java.version, "source": self.java.source},
        }
        write_text(setup.state / "cluster.json", json.dumps(data, indent=1) + "\n")

    @classmethod
    def read(cls, state: Path) -> Record | None:
        """The record in a cluster's folder; None when there is none of this format."""
        try:
            data: dict[str, Any] = json.loads((state / "cluster.json").read_text())
            if data["format"] != FORMAT:
                return None
            java = data["java"]
            return cls(
                Setup(
                    state=state,
                    jars=Path(data["jars"]),
                    ports={name: int(port) for name, port in data["ports"].items()},
                    user=data["user"],
                    nodes=int(data["nodes"]),
                    recovery=bool(data["recovery"]),
                    queues=tuple(data["queues"]),
                    settings=dict(data["settings"]),
                    kerberos=bool(data.get("kerberos")),
                    tls=bool(data.get("tls")),
                    users=tuple(data.get("users", ())),
                    ha=bool(data.get("ha")),
                    scheduler=data.get("scheduler", CAPACITY),
                    hadoop=data.get("hadoop", HADOOP_VERSION),
                    httpfs=bool(data.get("httpfs")),
                    knox=bool(data.get("knox")),
                    gateway_jars={name: Path(folder) for name, folder in data.get("gateway_jars", {}).items()},
                ),
                Java(Path(java["home"]), java["version"], java["source"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


@shown
@dataclass(frozen=True)
class DaemonStatus:
    """One daemon.

    Attributes:
        state: `running`, `starting` (alive, does not serve yet), `dead` (it ended by itself or was killed), `stopped`.
        port: the port of its protocol; `url` is its web page.
        problem: why it is not `running`, in a few words.
        last_lines: the last lines of its log, when it is dead.
    """

    name: str
    state: str
    pid: int | None
    port: int
    url: str
    log: str
    problem: str = ""
    last_lines: tuple[str, ...] = ()


@shown
@dataclass(frozen=True)
class ClusterStatus:
    """A cluster: `running` when all daemons are, `stopped` when none was started, `broken` or `starting` otherwise."""

    state: str
    state_dir: str
    conf_dir: str
    resourcemanager_url: str
    namenode_url: str
    nodes: int
    recovery: bool
    queues: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    kerberos: bool = False
    tls: bool = False
    users: tuple[str, ...] = ()
    ha: bool = False
    java: str = ""
    java_home: str = ""
    hadoop: str = ""
    jars: str = ""
    daemons: tuple[DaemonStatus, ...] = ()
    scheduler: str = CAPACITY
    httpfs: bool = False
    httpfs_url: str = ""
    knox: bool = False
    knox_url: str = ""

    @property
    def running(self) -> bool:
        return self.state == "running"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


@shown
@dataclass(frozen=True)
class Step:
    """Progress of a step: `name` stays, `text` changes, `done` is True at the end."""

    name: str
    text: str
    done: bool = False
