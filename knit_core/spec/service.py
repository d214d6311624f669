"""Service: a number of equal instances of one command. Plain data; preflight checks whether the cluster can run it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from knit_core.spec.base import MAX_INT, MOST_ARGUMENTS, Memory, Problem, Span, Strict, Whole, refuse, text
from knit_core.spec.files import EnvironmentRef, File
from knit_core.spec.policies import Condition, Docker, Readiness, Restart

GPU = "yarn.io/gpu"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESOURCE = re.compile(r"[A-Za-z0-9._/-]{1,100}")
_NODE = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
_RACK = re.compile(r"(/[A-Za-z0-9_.-]+)+")

Code = Annotated[Whole, Field(ge=0, le=255)]


class Service(Strict):
    """A number of equal instances of one command.

    Attributes:
        command: run by bash in the container's working folder; a list of words is quoted.
        instances: number of instances.
        memory: MiB of each instance, or a text such as "2 GiB".
        vcores: virtual cores of each instance.
        gpus: of each instance; short for `resources={"yarn.io/gpu": n}`.
        resources: other resource types by name.
        variables: environment variables. Values are literal, without expansion, unless a value refers to its own variable:
            `{"PATH": "/opt/x/bin:$PATH"}`.
        files: files and archives in the working folder.
        environment: the Python environment, whose Python is `python` in the container.
        docker: run by YARN's Docker runtime: an image, or its settings.
        node_label: node label expression; empty for the queue's default.
        nodes, racks: names of the only nodes and racks to run on.
        relax_locality: with `nodes` or `racks`: also run on other nodes when these are full.
        anti_affinity: no two instances on the same node.
        opportunistic: opportunistic containers, which use idle resources and are preempted by guaranteed ones.
        depends_on: services to wait for, each with a condition; a list means "ready".
        readiness: the check whether an instance is ready.
        restart: "never", "on-failure", "always", or with limits.
        gang: seconds (or "5 min"): start all instances or none; fails when YARN has not allocated all in this time.
        stop_grace: seconds between SIGTERM and SIGKILL when an instance is ended.
        success_codes: exit codes that count as success.
        fatal_codes: exit codes after which an instance is not restarted.
        required: whether the application fails when an instance has finally failed.
        manages: whether its containers may scale services, kill containers and end the application.
    """

    command: str
    instances: Whole = Field(default=1, ge=0, le=100_000)
    memory: Memory = 1024
    vcores: Whole = Field(default=1, ge=1, le=MAX_INT)
    gpus: Whole = Field(default=0, ge=0, le=MAX_INT)
    resources: dict[str, Annotated[Whole, Field(ge=0, le=2**62)]] = Field(default_factory=dict)
    variables: dict[str, str] = Field(default_factory=dict)
    files: tuple[File, ...] = ()
    environment: EnvironmentRef | None = None
    docker: Docker | None = None
    node_label: str = ""
    nodes: tuple[str, ...] = ()
    racks: tuple[str, ...] = ()
    relax_locality: bool = False
    anti_affinity: bool = False
    opportunistic: bool = False
    depends_on: dict[str, Condition] = Field(default_factory=dict)
    readiness: Readiness | None = None
    restart: Restart = Restart()
    gang: Annotated[Span, Field(le=3600)] = 0.0
    stop_grace: Annotated[Span, Field(le=3600)] = 0.0
    success_codes: tuple[Code, ...] = (0,)
    fatal_codes: tuple[Code, ...] = ()
    required: bool = True
    manages: bool = False

    @field_validator("command", mode="before")
    @classmethod
    def _command(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            value = shlex.join(str(part) for part in value)
        if not isinstance(value, str) or not value.strip():
            raise ValueError("the command is empty: set the command for each container")
        return text(value, "the command")

    @field_validator("resources")
    @classmethod
    def _resources(cls, value: dict[str, int]) -> dict[str, int]:
        refuse(
            ((name,), f"{name} is a separate field, not one of `resources`")
            if name in {"memory", "memory-mb", "vcores", "gpus"}
            else ((name,), f"{name!r} is not the name of a resource type")
            for name in value
            if name in {"memory", "memory-mb", "vcores", "gpus"} or not _RESOURCE.fullmatch(name)
        )
        return value

    @field_validator("variables", mode="before")
    @classmethod
    def _variables(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError(f"variables must be a mapping of names to texts, not {type(value).__name__}")
        refuse(((str(name),), wrong) for name, given in value.items() if (wrong := _variable(str(name), given)))
        return {str(name): str(given) for name, given in value.items()}

    @field_validator("files", mode="before")
    @classmethod
    def _files(cls, value: Any) -> Any:
        if isinstance(value, (str, bytes)):
            raise ValueError(f"files must be a list of paths, not one text: files=[{value!r}]")
        if isinstance(value, Mapping):
            return [{"source": str(source), "name": name} for name, source in value.items()]
        if not isinstance(value, Sequence):
            raise ValueError(f"files must be a list of paths, not {type(value).__name__}")
        return tuple(value)

    @field_validator("nodes", "racks", "success_codes", "fatal_codes", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return (value,) if isinstance(value, (str, int)) and not isinstance(value, bool) else value

    @field_validator("nodes")
    @classmethod
    def _nodes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _names(value, _NODE, "node (host name)")

    @field_validator("racks")
    @classmethod
    def _racks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _names(value, _RACK, "rack (/like/this)")

    @field_validator("node_label")
    @classmethod
    def _label(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]*", value):
            raise ValueError(f"{value!r} is not a node label: letters, digits, - and _")
        return value

    @field_validator("depends_on", mode="before")
    @classmethod
    def _depends(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [value]
        if isinstance(value, (list, tuple)):
            return {str(name): Condition.READY for name in value}
        return value

    @model_validator(mode="after")
    def _together(self) -> Service:
        refuse([*self._names_of_files(), *self._contradictions()])
        return self

    def _names_of_files(self) -> Iterator[Problem]:
        seen: set[str] = set()
        for file in self.files:
            if file.link in seen:
                yield (
                    ("files",),
                    f"two files have the name {file.link!r} in the container: set another `name` for one of them",
                )
            elif file.link.startswith((".knit", "knit-")) or file.link == "environment":
                yield (
                    ("files",),
                    f"{file.link!r} is reserved for Knit in the container: set another `name`",
                )
            seen.add(file.link)

    def _contradictions(self) -> Iterator[Problem]:
        if self.gpus and GPU in self.resources:
            yield ("gpus",), f"gpus and resources[{GPU!r}] are the same setting: use one of them"
        if not self.success_codes:
            yield ("success_codes",), "success_codes is empty: no instance could ever succeed"
        for code in sorted(set(self.success_codes) & set(self.fatal_codes)):
            yield ("fatal_codes",), f"exit code {code} is in success_codes and in fatal_codes"
        if self.relax_locality and not (self.nodes or self.racks):
            yield ("relax_locality",), "relax_locality has no effect without nodes or racks"
        if self.opportunistic and self.gang:
            yield ("gang",), "opportunistic containers may wait for ever on their nodes: gang is not possible with them"
        if self.anti_affinity and (self.nodes or self.racks or self.node_label):
            yield (
                ("anti_affinity",),
                "anti_affinity cannot be combined with nodes, racks or node_label",
            )
        size = sum(len(f"{name}={value}".encode()) + 1 for name, value in self.variables.items())
        if size + len(self.command.encode()) > MOST_ARGUMENTS:
            yield (
                ("variables",),
                f"command and variables together have {size + len(self.command.encode())} bytes, Linux allows "
                f"about {MOST_ARGUMENTS}: put them into a file of `files`",
            )

    @property
    def all_resources(self) -> dict[str, int]:
        """All resource types by name, including GPUs."""
        return {**self.resources, **({GPU: self.gpus} if self.gpus else {})}


def _names(values: tuple[str, ...], pattern: re.Pattern[str], what: str) -> tuple[str, ...]:
    for value in values:
        if not pattern.fullmatch(value):
            raise ValueError(f"{value!r} is not the name of a {what}")
    return values


def _variable(name: str, value: Any) -> str:
    """The problem of a variable; empty without a problem."""
    if not _VARIABLE.fullmatch(name):
        return f"{name!r} is not a name of an environment variable"
    if name.startswith("KNIT_") and name != "KNIT_LANG":
        return f"{name}: names that begin with KNIT_ are reserved for Knit"
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        quoted = f" (in quotes: {str(value).lower()!r})" if isinstance(value, bool) else ""
        return f"the variable {name} must be a text, not {type(value).__name__}{quoted}"
    try:
        text(str(value), f"the variable {name}")
    except ValueError as error:
        return str(error)
    return ""
