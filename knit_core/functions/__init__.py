"""Runs Python functions in YARN containers and returns their values: `Knit.map` and `Knit.call`."""

from knit_core.functions.job import FunctionJob, RemoteTraceback
from knit_core.functions.runner import collect, failure, prepare, run_job

__all__ = ["FunctionJob", "RemoteTraceback", "collect", "failure", "prepare", "run_job"]
