"""Everything that is checked before a launch changes anything: local files, archives, certificates, the cluster."""

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
    say: Callable[[str], None] | None = None,
    *,
    checks: bool = True,
) -> dict[str, Upload]:
    """Check what should run; an Upload for each local file that it names, by path.

    Args:
        cluster, staging: where.
        spec: what should run.
        facts: about the cluster.
        tags: Knit's own, besides the specification's.
        say: gets a line per warning.
        checks: also the queue, sizes and the inside of archives.

    Raises:
        QueueRefused, PreflightError: one error that names every problem.
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
    preflight.check(spec, facts, address=address, local=tuple(problems), tags=tags)
    if say is not None:
        for remark in preflight.remarks(spec, facts, address=address):
            say(f"warning: {remark}")
    return files


def _archive_problems(cluster: Cluster, staging: Staging, spec: ApplicationSpec, files: dict[str, Upload]) -> list[str]:
    """What is wrong inside of local archives. One that lies in the cache was checked when it came there."""
    found = []
    plain = {file.path for service in spec.services.values() for file in service.files}
    for upload in archives_of(spec, files):
        if cluster.hdfs.status(upload.remote(staging.folder)) is None:
            found += archive_checks.look(upload.path, environment=upload.path not in plain)
    return found


def _add_certificates(ca: str, files: dict[str, Upload]) -> list[str]:
    """Adds the file of certificates that containers need; what is wrong with it."""
    if ca in {"", "false"}:
        return []
    if Path(ca).expanduser().is_dir():
        return [f"{ca} (KNIT_CA) is a folder: containers that write to HDFS by https need its certificates in one file"]
    try:
        files[ca] = inspect(ca)
    except StagingError as error:
        return [f"KNIT_CA: {error}"]
    return []


def _platform_problems(spec: ApplicationSpec) -> list[str]:
    """YARN's nodes run Linux: an environment for another system cannot work there."""
    return [
        f"{name}: the environment {service.environment.name or service.environment.archive} is for "
        f"{service.environment.platform}; the nodes need a linux platform (create_env(…, platform='linux-64'))"
        for name, service in spec.services.items()
        if service.environment
        and service.environment.platform
        and not service.environment.platform.startswith(("linux-", "noarch"))
    ]


__all__ = ["check_launch"]
