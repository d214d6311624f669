"""All looks together, as one error."""

from __future__ import annotations

from knit_core.errors import PreflightError, QueueRefused
from knit_core.model.cluster_facts import ClusterFacts
from knit_core.preflight import features, placement, queues, sizes
from knit_core.spec import ApplicationSpec


def check(
    spec: ApplicationSpec,
    facts: ClusterFacts,
    *,
    address: str = "",
    local: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
) -> None:
    """Raise one error that names every problem.

    Args:
        spec: what should run.
        facts: about the cluster; what is not known is not refused.
        address: of the ResourceManager, for messages.
        local: problems with local files, found by who looked (knit_core.hdfs_cache.staging).
        tags: Knit's own, besides the spec's.

    Raises:
        QueueRefused: the queue is the only problem.
        PreflightError: otherwise.
    """
    wanted, named = spec.queue or facts.default_queue, queues.is_named(spec, facts)
    queue = list(queues.queue_problems(wanted, facts.queues, address, named=named))
    others = [*local, *sizes.too_large(spec, facts, address)]
    if not others:
        others += sizes.too_many(spec, facts, address)
    others += [*placement.problems(spec, facts, address), *features.problems(spec, facts, tags)]
    if queue and not others:
        raise QueueRefused(f"{queue[0]} Nothing was uploaded or submitted.", address=address)
    if queue or others:
        raise PreflightError([*queue, *others])


def remarks(spec: ApplicationSpec, facts: ClusterFacts, *, address: str = "") -> list[str]:
    """What may surprise although nothing is wrong for sure; arguments as in `check`."""
    named = queues.is_named(spec, facts)
    return list(queues.queue_remarks(spec.queue or facts.default_queue, facts.queues, address, named=named))
