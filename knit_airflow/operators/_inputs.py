"""What operators are given beside a program: an environment, and files from the DAG file's folder on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knit_core import Knit


def environment(value: Any, knit: Knit, log: Any) -> Any:
    """What `Knit.submit(env=…)` takes, from what a task was given.

    Parameters:
        value: None, a path or URL, an `Environment`, or the mapping that KnitEnvironmentOperator returned.
        knit: builds it again where its archive is not on this worker.
        log: told about that.
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
    """The folder of an operator's DAG file, from which relative paths start."""
    place = operator.dag.fileloc if operator.has_dag() else None
    return Path(place).parent if place else Path.cwd()


def files_from(base: Path, files: Any) -> Any:
    """`files` for `Knit.submit`, relative paths made to start from `base`."""
    if isinstance(files, Mapping):
        return {name: path_from(base, source) for name, source in files.items()}
    return [
        {**each, "source": path_from(base, each.get("source", ""))}
        if isinstance(each, Mapping)
        else path_from(base, each)
        for each in files
    ]


def path_from(base: Path, source: Any) -> Any:
    """The path or URL, a relative path made to start from `base`."""
    if not isinstance(source, str) or not source or "://" in source:
        return source
    return str(base / Path(source).expanduser())
