"""How a service lives: when it starts, when it counts as ready, what follows its end, what it runs in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import Field, field_validator, model_validator

from knit_core.spec.base import Problem, Span, Strict, Whole, refuse, text

_HOST_PATH = re.compile(r"/[^:,\s]*")


class Condition(str, Enum):
    """What a service waits for in another one.

    STARTED: all its instances have been started. READY: all are ready (a service without a readiness check is ready
    when it runs). SUCCEEDED: all have ended well.
    """

    STARTED = "started"
    READY = "ready"
    SUCCEEDED = "succeeded"


class RestartPolicy(str, Enum):
    """Whose end is followed by a restart: nobody's, that of failed instances, everybody's."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


class Restart(Strict):
    """What follows the end of an instance. Preempted and lost containers are replaced in any case and never counted.

    Attributes:
        policy: "never", "on-failure" or "always".
        limit: how often one instance is restarted within `window`; then it has failed. None: without end. By default 3
            for "on-failure" and None for "always".
        window: seconds (or "1 h") that count for `limit`; 0: its whole life.
        first_delay: seconds before the first restart, doubled for each that follows at once.
        longest_delay: seconds before a restart at most.
    """

    policy: RestartPolicy = RestartPolicy.NEVER
    limit: Whole | None = Field(default=None, ge=0, le=1_000_000)
    window: Span = 0.0
    first_delay: Span = 1.0
    longest_delay: Span = 60.0

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, (str, RestartPolicy)):
            value = {"policy": value}
        if isinstance(value, Mapping) and "limit" not in value and value.get("policy") == "on-failure":
            value = {**value, "limit": 3}
        return value

    @model_validator(mode="after")
    def _check(self) -> Restart:
        if self.longest_delay < self.first_delay:
            raise ValueError("longest_delay is shorter than first_delay")
        return self


class HttpProbe(Strict):
    """GET `path` at the container's host is answered with 200 to 399.

    Attributes:
        port: on the container's node.
        path: from `/` on.
    """

    port: Whole = Field(ge=1, le=65535)
    path: str = "/"

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        if not re.fullmatch(r"/[\x21-\x7e]*", value):
            raise ValueError(f"a path begins with '/' and has no spaces, not {value!r}")
        return value


class Readiness(Strict):
    """When an instance counts as ready; exactly one of the four ways.

    Attributes:
        http: {port, path}: the ApplicationMaster asks the container's node.
        tcp: port: the ApplicationMaster connects to it on the container's node.
        command: run by bash in the container until it exits with 0; needs a Python there (the environment's, else the
            node's `python3`), which reports it.
        report: the program says so itself (`knit_container.ready()`).
        interval: seconds between two probes.
        timeout: seconds for one probe.
        deadline: seconds from the start in which it must become ready, else it has failed; 0: no deadline.
    """

    http: HttpProbe | None = None
    tcp: Whole | None = Field(default=None, ge=1, le=65535)
    command: str | None = None
    report: bool = False
    interval: Span = 1.0
    timeout: Span = 5.0
    deadline: Span = 300.0

    @model_validator(mode="after")
    def _one_way(self) -> Readiness:
        wrong: list[Problem] = []
        ways = [name for name in ("http", "tcp", "command", "report") if getattr(self, name) not in (None, False)]
        if len(ways) != 1:
            wrong.append(((), f"readiness is one of http, tcp, command and report, not {' and '.join(ways) or 'none'}"))
        for name in ("interval", "timeout"):
            if getattr(self, name) < 0.1:
                wrong.append(((name,), "interval and timeout are at least 0.1 s"))
        if self.command is not None and not self.command.strip():
            wrong.append((("command",), "the readiness command is empty"))
        refuse(wrong)
        return self

    @field_validator("command")
    @classmethod
    def _command(cls, value: str | None) -> str | None:
        return None if value is None else text(value, "the readiness command")


class Mount(Strict):
    """A folder of the node that a Docker container sees.

    Attributes:
        source, target: absolute paths on the node and in the container.
        mode: "ro" or "rw".
    """

    source: str
    target: str
    mode: str = "ro"

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            parts = value.split(":")
            return dict(zip(("source", "target", "mode"), parts, strict=False)) if 2 <= len(parts) <= 3 else value
        return value

    @model_validator(mode="after")
    def _check(self) -> Mount:
        if not _HOST_PATH.fullmatch(self.source) or not _HOST_PATH.fullmatch(self.target):
            raise ValueError("a mount is /on/the/node:/in/the/container[:ro|rw], absolute and without ':' or ','")
        if self.mode not in {"ro", "rw"}:
            raise ValueError(f"a mount's mode is ro or rw, not {self.mode!r}")
        return self


class Docker(Strict):
    """Runs the service's containers by YARN's Docker runtime.

    Attributes:
        image: as the nodes' Docker knows it.
        mounts: folders of the node: "/data:/data:ro".
        network: Docker network; the cluster's default when empty.
        privileged: needs the cluster's permission.
        hostname: the container's own, with a network that supports it.

    The variables are those of "Launching Applications Using Docker Containers" in Hadoop's documentation.
    """

    image: str
    mounts: tuple[Mount, ...] = ()
    network: str = ""
    privileged: bool = False
    hostname: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"image": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Docker:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*", self.image):
            raise ValueError(f"{self.image!r} is not the name of a Docker image")
        for name in ("network", "hostname"):
            if not re.fullmatch(r"[A-Za-z0-9._-]*", getattr(self, name)):
                raise ValueError(f"{name} {getattr(self, name)!r} has characters that it cannot have")
        return self

    def variables(self) -> dict[str, str]:
        """What YARN's Docker runtime reads from a container's environment."""
        prefix = "YARN_CONTAINER_RUNTIME_DOCKER_"
        found = {"YARN_CONTAINER_RUNTIME_TYPE": "docker", f"{prefix}IMAGE": self.image}
        if self.mounts:
            found[f"{prefix}MOUNTS"] = ",".join(f"{m.source}:{m.target}:{m.mode}" for m in self.mounts)
        if self.network:
            found[f"{prefix}CONTAINER_NETWORK"] = self.network
        if self.hostname:
            found[f"{prefix}CONTAINER_HOSTNAME"] = self.hostname
        if self.privileged:
            found[f"{prefix}RUN_PRIVILEGED_CONTAINER"] = "true"
        return found


class Acls(Strict):
    """Who besides the owner may see the application and its logs, and who may change or end it.

    Attributes:
        view, modify: names of users, or YARN's own form "alice,bob group1,group2"; "*": everybody.
    """

    view: str = ""
    modify: str = ""

    @field_validator("view", "modify", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            value = ",".join(str(name) for name in value)
        if not isinstance(value, str) or not re.fullmatch(r"[^\s\0]* ?[^\s\0]*", value):
            raise ValueError(f"an ACL is a list of users, or a text 'alice,bob group1,group2', not {value!r}")
        return value


class LogPatterns(Strict):
    """Which of a container's log files YARN keeps (Java regular expressions on file names).

    Attributes:
        include, exclude: of those that are there at the application's end; empty: YARN's default (all).
        rolled_include, rolled_exclude: of those that are kept while it runs, for applications that run for days.
    """

    include: str = ""
    exclude: str = ""
    rolled_include: str = ""
    rolled_exclude: str = ""

    def submission(self) -> dict[str, str]:
        """As the submission's `log-aggregation-context`."""
        return {
            "log-include-pattern": self.include,
            "log-exclude-pattern": self.exclude,
            "rolled-log-include-pattern": self.rolled_include,
            "rolled-log-exclude-pattern": self.rolled_exclude,
        }
