"""Inputs of operators: environments, and files relative to the DAG file's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knit_core import Knit


def environment(value: Any, knit: Knit, log: Any) -> Any:
    """The argument `env` of `Knit.submit`, from the argument of a task.

    Parameters:
        value: None, a path or URL, an `Environment`, or the mapping that KnitEnvironmentOperator returned.
        knit: builds the environment again when its archive is not on this worker.
        log: the task's log.
    """
    if not isinstance(value, Mapping):
        return value or None
    from knit_core import Environment

    described = Environment.from_dict(value)
    request = value.get("request")
    if not isinstance(described.archive, Path) or described.archive.is_file() or not request:
        return described
    log.info("%s is not on this worker: building environment %s again", described.archive, described.name)
    built = knit.create_env(described.name, progress=lambda line: log.info("%s", line), **request)
    if built.key != described.key:
        log.warning("Environment %s came out differently than on the other worker: channels have changed", built.name)
    return built


def folder_of(operator: Any) -> Path:
    """The folder of an operator's DAG file; relative paths start from it."""
    place = operator.dag.fileloc if operator.has_dag() else None
    return Path(place).parent if place else Path.cwd()


def files_from(base: Path, files: Any) -> Any:
    """`files` for `Knit.submit`; relative paths start from `base`."""
    if isinstance(files, Mapping):
        return {name: path_from(base, source) for name, source in files.items()}
    return [
        {**each, "source": path_from(base, each.get("source", ""))}
        if isinstance(each, Mapping)
        else path_from(base, each)
        for each in files
    ]


def path_from(base: Path, source: Any) -> Any:
    """The path or URL; a relative path starts from `base`."""
    if not isinstance(source, str) or not source or "://" in source:
        return source
    return str(base / Path(source).expanduser())
