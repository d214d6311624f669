"""Environments in the cache on HDFS: brought there ahead of time, and removed when nobody uses them."""

from __future__ import annotations

from dataclasses import dataclass

from knit_core.errors import BadArchive
from knit_core.hadoop.cluster import Cluster
from knit_core.hdfs_cache.leases import PUSHED, Leases
from knit_core.hdfs_cache.pruning import HdfsPruner, Pruned, sweep_temporaries
from knit_core.hdfs_cache.staging import Progress, Staging, inspect
from knit_core.model.environment import Environment
from knit_core.model.representation import shown
from knit_core.spec import EnvironmentRef


@shown
@dataclass(frozen=True)
class Pushed:
    """An environment on HDFS.

    Attributes:
        url: what `env=` of a launch takes; the local archive does as well, and finds the same entry.
        size: bytes of the archive.
        uploaded: bytes that were sent: 0 when it was there already.
        sha256: of the archive.
    """

    url: str
    size: int
    uploaded: int
    sha256: str


def push(cluster: Cluster, staging: Staging, environment: Environment, progress: Progress | None = None) -> Pushed:
    """Brings a local environment to HDFS, where launches find it for at least seven days; nothing is sent when it is there.

    Args:
        cluster: whose filesystem the address names.
        staging: where it goes.
        environment: with a local archive.
        progress: called with name, bytes sent, bytes in all.

    Raises:
        BadArchive: it is not a local archive.
        StagingError: the archive is not there any more, or HDFS does not take it.
    """
    if environment.kind != "archive" or "://" in str(environment.archive):
        raise BadArchive(f"{environment.archive} is not a local archive: there is nothing to push")
    upload = inspect(str(environment.archive), EnvironmentRef.model_validate(environment).sha256)
    if staging.shared is not None:
        upload = staging.shared.place(upload)
    staging.reserve(PUSHED, [upload])  # no pruning takes it away before it is launched with
    _, missing = staging.look([upload], [])
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
    """Deletes from the user's caches on HDFS what no application uses: see `knit_core.hdfs_cache.pruning.choose` for what goes.

    Args:
        cluster: whose applications use the caches.
        staging: whose caches.
        older_than: seconds without use; 30 days when neither this nor a size is given.
        keep_size: bytes that may stay.
        dry_run: only say what would go.
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
    beside = sweep_temporaries(cluster.hdfs, staging.folder, dry_run=dry_run)
    return Pruned(gone, kept, beside + sum(each.swept for each in done))


__all__ = ["Pruned", "Pushed", "prune", "push"]
