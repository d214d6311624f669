"""Preflight: everything that is wrong with a launch, found before anything is uploaded or submitted. Pure."""

from knit_core.preflight.check import check, remarks
from knit_core.preflight.queues import queue_problems

__all__ = ["check", "queue_problems", "remarks"]
