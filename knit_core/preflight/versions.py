"""Checks Hadoop's version."""

from __future__ import annotations

import re

_LEAST = 3  # the ApplicationMaster calls methods that Hadoop 2 does not have, and would never end there


def version_problem(version: str, address: str) -> str:
    """Why Knit cannot run on this version of Hadoop; empty when it can, or when the version is not known.

    Args:
        version: the ResourceManager's `hadoopVersion` ("3.4.2", "2.6.0-cdh5.16.2").
        address: of the ResourceManager, for messages.
    """
    number = re.match(r"(\d+)\.", version)
    if number is None or int(number[1]) >= _LEAST:
        return ""
    return (
        f"The cluster at {address} runs Hadoop {version}, and Knit needs Hadoop {_LEAST} or newer (it is tested with 3.3, 3.4 "
        "and 3.5): its ApplicationMaster cannot run on this cluster."
    )


__all__ = ["version_problem"]
