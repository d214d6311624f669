"""Preflight: compares a specification with facts about the cluster, before anything is uploaded or submitted. Pure."""

from knit_core.preflight.check_spec import check_spec, spec_warnings
from knit_core.preflight.queues import accepted_name, queue_problems, submitted_name
from knit_core.preflight.sizes import node_problems
from knit_core.preflight.versions import version_problem

__all__ = [
    "accepted_name",
    "check_spec",
    "node_problems",
    "queue_problems",
    "spec_warnings",
    "submitted_name",
    "version_problem",
]
