"""Every check that comes before a launch changes anything: local files, archives, certificates, then `preflight`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from knit_core import preflight
from knit_core.errors import PreflightError, StagingError
from knit_core.hadoop.cluster import Cluster
from knit_core.hdfs_cache.staging import Staging, archives_of, gather, inspect
from knit_core.launch import archive_checks
from knit_core.model.cluster_facts import ClusterFacts
from knit_core.model.upload import Upload
from knit_core.spec import ApplicationSpec


def check_launch(
    cluster: Cluster,
    staging: Staging,
    spec: ApplicationSpec,
    facts: ClusterFacts,
    tags: tuple[str, ...],
    progress: Callable[[str], None] | None = None,
    *,
    checks: bool = True,
) -> dict[str, Upload]:
    """Check a specification; returns an Upload for each local file in it, by path.

    Args:
        cluster: the connections.
        staging: the staging folder.
        spec: what to run.
        facts: about the cluster.
        tags: Knit's own, besides the specification's.
        progress: called with one line per warning.
        checks: also check the queue, sizes and the entries of archives.

    Raises:
        QueueRefused, PreflightError: one error with all problems.
    """
    files, problems = gather(spec, facts.filesystem)
    files = staging.place(files, spec)
    problems += _platform_problems(spec)
    problems += _add_certificates(facts.ca, files)
    if not checks:
        if problems:
            raise PreflightError(problems)
        return files
    problems += _archive_problems(cluster, staging, spec, files)
    address = cluster.resourcemanager.address
    preflight.check_spec(spec, facts, address=address, local=tuple(problems), tags=tags)
    if progress is not None:
        for warning in preflight.spec_warnings(spec, facts, address=address):
            progress(f"warning: {warning}")
    return files


def _archive_problems(cluster: Cluster, staging: Staging, spec: ApplicationSpec, files: dict[str, Upload]) -> list[str]:
    """Problems of the local archives' entries. An archive that is in the cache was checked before its upload."""
    found = []
    plain = {file.path for service in spec.services.values() for file in service.files}
    for upload in archives_of(spec, files):
        if cluster.hdfs.status(upload.remote(staging.folder)) is None:
            found += archive_checks.archive_problems(upload.path, environment=upload.path not in plain)
    return found


def _add_certificates(ca: str, files: dict[str, Upload]) -> list[str]:
    """Add the file of certificates that containers need to `files`; returns the problems of that file."""
    if ca in {"", "false"}:
        return []
    if Path(ca).expanduser().is_dir():
        return [f"{ca} (KNIT_CA) is a folder: containers that use HDFS over https need the certificates in one file"]
    try:
        files[ca] = inspect(ca)
    except StagingError as error:
        return [f"KNIT_CA: {error}"]
    return []


def _platform_problems(spec: ApplicationSpec) -> list[str]:
    """Problems of environments for other systems than Linux, which YARN's nodes run."""
    return [
        f"{name}: the environment {service.environment.name or service.environment.archive} is for "
        f"{service.environment.platform}; the nodes need a linux platform (create_env(…, platform='linux-64'))"
        for name, service in spec.services.items()
        if service.environment
        and service.environment.platform
        and not service.environment.platform.startswith(("linux-", "noarch"))
    ]


__all__ = ["check_launch"]
