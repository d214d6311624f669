"""Policies of a service: dependencies, readiness, restarts, Docker; ACLs and log patterns of an application."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import Field, field_validator, model_validator

from knit_core.spec.base import Problem, Span, Strict, Whole, refuse, text

_HOST_PATH = re.compile(r"/[^:,\s]*")


class Condition(str, Enum):
    """A condition on another service.

    STARTED: all its instances have been started. READY: all are ready (without a readiness check: they run). SUCCEEDED: all
    have succeeded.
    """

    STARTED = "started"
    READY = "ready"
    SUCCEEDED = "succeeded"


class RestartPolicy(str, Enum):
    """Which instances are restarted after their end: none, failed ones, or all."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


class Restart(Strict):
    """Restarts of instances. Preempted and lost containers are always replaced, and never counted.

    Attributes:
        policy: "never", "on-failure" or "always".
        limit: maximum number of restarts of one instance within `window`; after that it has failed. None for no limit. By
            default 3 for "on-failure" and None for "always".
        window: seconds (or "1 h") that count for `limit`; 0 for the instance's whole life.
        first_delay: seconds before the first restart; doubled for each restart that follows at once.
        longest_delay: maximum seconds before a restart.
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
    """An HTTP check: GET `path` on the container's node returns a status from 200 to 399.

    Attributes:
        port: on the container's node.
        path: begins with `/`.
    """

    port: Whole = Field(ge=1, le=65535)
    path: str = "/"

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        if not re.fullmatch(r"/[\x21-\x7e]*", value):
            raise ValueError(f"a path must begin with '/' and have no spaces, not {value!r}")
        return value


class Readiness(Strict):
    """The readiness check of an instance: exactly one of http, tcp, command and report.

    Attributes:
        http: {port, path}: the ApplicationMaster sends a request to the container's node.
        tcp: port: the ApplicationMaster connects to it on the container's node.
        command: run by bash in the container until its exit code is 0. Needs a Python in the container (the environment's,
            else the node's `python3`), which reports the success.
        report: the program reports that it is ready (`knit_container.ready()`).
        interval: seconds between two checks.
        timeout: seconds for one check.
        deadline: seconds after the start; an instance that is not ready by then has failed. 0 for no deadline.
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
            wrong.append(
                ((), f"readiness must be one of http, tcp, command and report, not {' and '.join(ways) or 'none'}")
            )
        for name in ("interval", "timeout"):
            if getattr(self, name) < 0.1:
                wrong.append(((name,), "interval and timeout must be at least 0.1 s"))
        if self.command is not None and not self.command.strip():
            wrong.append((("command",), "the readiness command is empty"))
        refuse(wrong)
        return self

    @field_validator("command")
    @classmethod
    def _command(cls, value: str | None) -> str | None:
        return None if value is None else text(value, "the readiness command")


class Mount(Strict):
    """A folder of the node that is mounted in a Docker container.

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
            raise ValueError(
                "a mount must be /on/the/node:/in/the/container[:ro|rw], with absolute paths without ':' or ','"
            )
        if self.mode not in {"ro", "rw"}:
            raise ValueError(f"a mount's mode must be ro or rw, not {self.mode!r}")
        return self


class Docker(Strict):
    """Settings of YARN's Docker runtime, which runs the service's containers.

    Attributes:
        image: its name for Docker on the nodes.
        mounts: folders of the node: "/data:/data:ro".
        network: Docker network; empty for the cluster's default.
        privileged: a privileged container, if the cluster allows it.
        hostname: of the container, in a network that supports it.

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
                raise ValueError(f"{name} {getattr(self, name)!r} has invalid characters")
        return self

    def variables(self) -> dict[str, str]:
        """The environment variables for YARN's Docker runtime."""
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
    """Users besides the owner who may view the application and its logs (`view`), or change and end it (`modify`).

    Attributes:
        view, modify: names of users, or YARN's own form "alice,bob group1,group2"; "*" for all users.
    """

    view: str = ""
    modify: str = ""

    @field_validator("view", "modify", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            value = ",".join(str(name) for name in value)
        if not isinstance(value, str) or not re.fullmatch(r"[^\s\0]* ?[^\s\0]*", value):
            raise ValueError(f"an ACL must be a list of users, or a text 'alice,bob group1,group2', not {value!r}")
        return value


class LogPatterns(Strict):
    """The log files of a container that YARN keeps (Java regular expressions on file names).

    Attributes:
        include, exclude: for files at the application's end; empty for YARN's default (all).
        rolled_include, rolled_exclude: for files that are kept while the application runs; for long runs.
    """

    include: str = ""
    exclude: str = ""
    rolled_include: str = ""
    rolled_exclude: str = ""

    def submission(self) -> dict[str, str]:
        """The `log-aggregation-context` of the submission."""
        return {
            "log-include-pattern": self.include,
            "log-exclude-pattern": self.exclude,
            "rolled-log-include-pattern": self.rolled_include,
            "rolled-log-exclude-pattern": self.rolled_exclude,
        }
