"""Runs all checks of a specification against the cluster, and raises one error."""

from __future__ import annotations

from knit_core.errors import PreflightError, QueueRefused
from knit_core.model.cluster_facts import ClusterFacts
from knit_core.preflight import features, placement, queues, sizes
from knit_core.spec import ApplicationSpec


def check_spec(
    spec: ApplicationSpec,
    facts: ClusterFacts,
    *,
    address: str = "",
    local: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
) -> None:
    """Raise one error with all problems.

    Args:
        spec: what to run.
        facts: about the cluster; unknown facts are no problem.
        address: of the ResourceManager, for messages.
        local: problems of local files, from knit_core.launch.check_launch.
        tags: Knit's own, added to the spec's.

    Raises:
        QueueRefused: the queue is the only problem.
        PreflightError: there are other problems.
    """
    queue = queues.certain_problems(spec, facts, address)
    others = [*local, *sizes.too_large(spec, facts, address)]
    if not others:
        others += sizes.too_many(spec, facts, address)
    others += [*placement.problems(spec, facts, address), *features.problems(spec, facts, tags)]
    if queue and not others:
        raise QueueRefused(f"{queue[0]} Nothing was uploaded or submitted.", address=address)
    if queue or others:
        raise PreflightError([*queue, *others])


def spec_warnings(spec: ApplicationSpec, facts: ClusterFacts, *, address: str = "") -> list[str]:
    """Warnings: possible problems that do not prevent a launch; arguments as in `check_spec`."""
    return list(queues.queue_warnings(spec, facts, address))
