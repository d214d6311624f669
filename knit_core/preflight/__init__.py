"""Preflight: compares a specification with facts about the cluster, before anything is uploaded or submitted. Pure."""

from knit_core.preflight.check_spec import check_spec, spec_warnings
from knit_core.preflight.queues import queue_problems

__all__ = ["check_spec", "queue_problems", "spec_warnings"]
