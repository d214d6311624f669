"""Checks whether the installed version of Airflow is new enough for the provider. Does not import Airflow."""

from __future__ import annotations

import functools
import logging
import re
from importlib.metadata import PackageNotFoundError, version

OLDEST = (3, 3)
log = logging.getLogger(__name__)


@functools.cache
def problem() -> str:
    """Why the provider does not work with this Airflow, as a sentence; empty when it does."""
    found = _installed()
    if found is None:
        return "knit_airflow needs Airflow, which is not installed: pip install 'knit-yarn[airflow]'"
    if tuple(int(part) for part in re.findall(r"\d+", found)[:2]) >= OLDEST:
        return ""
    oldest = ".".join(map(str, OLDEST))
    return f"knit_airflow needs Airflow {oldest} or newer; this is {found}: its operators and its page are off"


@functools.cache
def warn_once() -> None:
    """Log the problem, once per process."""
    log.warning("%s", problem())


def _installed() -> str | None:
    for distribution in ("apache-airflow-core", "apache-airflow"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return None


__all__ = ["OLDEST", "problem", "warn_once"]
