"""OpenLineage names of files on HDFS, and the files that a task's containers get. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit


def hdfs_files(operator: Any) -> list[tuple[str, str]]:
    """OpenLineage names (namespace, name) of the files on HDFS that a task's containers get, each once."""
    return list(dict.fromkeys(each for source in _sources(operator) if (each := hdfs_name(source)) is not None))


def hdfs_name(source: Any) -> tuple[str, str] | None:
    """`hdfs://namenode:8020` and `/path/of/it` of a URL; None when it is not an `hdfs://` URL with a host."""
    parts = urlsplit(source) if isinstance(source, str) else None
    if parts is None or parts.scheme != "hdfs" or not parts.hostname or not parts.path.strip("/"):
        return None
    host = parts.netloc.rpartition("@")[2]
    return f"hdfs://{host}", parts.path


def _sources(operator: Any) -> Iterator[Any]:
    yield from _of_files(getattr(operator, "files", ()))
    spec = getattr(operator, "spec", None)
    if isinstance(spec, Mapping):
        services = spec.get("services")
        for service in services.values() if isinstance(services, Mapping) else (spec,):
            if isinstance(service, Mapping):
                yield from _of_files(service.get("files") or ())


def _of_files(files: Any) -> Iterator[Any]:
    rows: Iterable[Any] = files.values() if isinstance(files, Mapping) else files
    for each in rows:
        yield each.get("source") if isinstance(each, Mapping) else each
