"""The keyword arguments of `Knit.submit` and similar calls, for editors and type checkers. The models document them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from knit_core.spec.files import EnvironmentRef, File
from knit_core.spec.policies import Acls, Condition, Docker, LogPatterns, Readiness, Restart

if TYPE_CHECKING:
    from knit_core.model.environment import Environment

Size: TypeAlias = int | str  # MiB, or a text with a unit ("2 GiB")
Span: TypeAlias = float | str  # seconds, or a text with a unit ("5 min")
Texts: TypeAlias = str | Sequence[str]
Files: TypeAlias = Sequence[str | PathLike[str] | File | Mapping[str, Any]] | Mapping[str, str | PathLike[str]]


class ServiceOptions(TypedDict, total=False):
    """Fields of `knit_core.Service` without `instances`; `env` is short for `environment`."""

    memory: Size | None
    vcores: int | None
    gpus: int | None
    resources: Mapping[str, int] | None
    variables: Mapping[str, str] | None
    files: Files | None
    env: Environment | EnvironmentRef | str | PathLike[str] | Mapping[str, Any] | None
    environment: Environment | EnvironmentRef | str | PathLike[str] | Mapping[str, Any] | None
    docker: Docker | Mapping[str, Any] | str | None
    node_label: str | None
    nodes: Texts | None
    racks: Texts | None
    relax_locality: bool | None
    anti_affinity: bool | None
    opportunistic: bool | None
    depends_on: Mapping[str, Condition | str] | Texts | None
    readiness: Readiness | Mapping[str, Any] | str | None
    restart: Restart | Mapping[str, Any] | str | None
    gang: Span | bool | None
    stop_grace: Span | None
    success_codes: Sequence[int] | None
    fatal_codes: Sequence[int] | None
    required: bool | None
    manages: bool | None


class ApplicationOptions(TypedDict, total=False):
    """Fields of `knit_core.ApplicationSpec` without its services."""

    name: str | None
    completion: Texts | None
    queue: str | None
    priority: int | None
    tags: Texts | None
    acls: Acls | Mapping[str, Any] | None
    logs: LogPatterns | Mapping[str, Any] | None
    attempts: int | None
    attempt_window: Span | None
    lifetime: Span | None
    node_failures: int | None
    master_memory: Size | None
    master_label: str | None


class CallOptions(ServiceOptions, ApplicationOptions, total=False):
    """For a function: fields of its service and its application."""


class SubmitOptions(CallOptions, total=False):
    """For a command: fields of its service and its application."""

    instances: int | None


__all__ = ["ApplicationOptions", "CallOptions", "ServiceOptions", "SubmitOptions"]
