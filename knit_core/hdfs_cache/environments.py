"""Environments in the cache on HDFS: upload before a launch, removal when no application uses them."""

from __future__ import annotations

from dataclasses import dataclass

from knit_core.errors import BadArchive
from knit_core.hadoop.cluster import Cluster
from knit_core.hdfs_cache.leases import PUSHED, Leases
from knit_core.hdfs_cache.pruning import HdfsPruner, Pruned, delete_temporaries
from knit_core.hdfs_cache.staging import Progress, Staging, inspect
from knit_core.model.environment import Environment
from knit_core.model.representation import shown
from knit_core.spec import EnvironmentRef


@shown
@dataclass(frozen=True)
class Pushed:
    """An environment on HDFS.

    Attributes:
        url: for `env=` of a launch. The local archive leads to the same entry.
        size: bytes of the archive.
        uploaded: bytes that were sent; 0 when it was there already.
        sha256: of the archive.
    """

    url: str
    size: int
    uploaded: int
    sha256: str


def push(cluster: Cluster, staging: Staging, environment: Environment, progress: Progress | None = None) -> Pushed:
    """Upload a local environment to HDFS, where it stays for at least seven days. No upload when it is there already.

    Args:
        cluster: the connections.
        staging: the staging folder.
        environment: with a local archive.
        progress: called with name, bytes sent, bytes in all.

    Raises:
        BadArchive: it is not a local archive.
        StagingError: the archive does not exist, or cannot be written to HDFS.
    """
    if environment.kind != "archive" or "://" in str(environment.archive):
        raise BadArchive(f"{environment.archive} is not a local archive: only a local archive can be pushed")
    upload = inspect(str(environment.archive), EnvironmentRef.model_validate(environment).sha256)
    if staging.shared is not None:
        upload = staging.shared.place(upload)
    staging.reserve(PUSHED, [upload])  # before a launch uses it, this lease keeps it from pruning
    _, missing = staging.find([upload], [])
    if missing:
        staging.put(missing, progress)
    url = f"{cluster.config.filesystem.value}{upload.remote(staging.folder)}"
    return Pushed(url, upload.size, upload.size if missing else 0, upload.sha256)


def prune(
    cluster: Cluster,
    staging: Staging,
    *,
    older_than: float | None = None,
    keep_size: int | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Delete unused entries of the user's caches on HDFS; `knit_core.hdfs_cache.pruning.choose` selects them.

    Args:
        cluster: the connections.
        staging: the staging folder.
        older_than: seconds without use; 30 days when neither this nor a size is given.
        keep_size: bytes that may stay.
        dry_run: delete nothing; only return what would be deleted.
    """
    places = [(f"{staging.folder}/cache", staging.leases)]
    if staging.shared is not None:
        places.append((f"{staging.shared.own}/cache", Leases(cluster.hdfs, staging.shared.leases)))
    done = [
        HdfsPruner(cluster.hdfs, cluster.resourcemanager, cache, leases).prune(
            older_than=older_than, keep_size=keep_size, dry_run=dry_run
        )
        for cache, leases in places
    ]
    gone, kept = (tuple(item for each in done for item in getattr(each, part)) for part in ("gone", "kept"))
    temporaries = delete_temporaries(cluster.hdfs, staging.folder, dry_run=dry_run)
    return Pruned(gone, kept, temporaries + sum(each.swept for each in done))


__all__ = ["Pruned", "Pushed", "prune", "push"]
