"""Versions of Hadoop that an embedded cluster can have, and what differs between them. Pure."""

from __future__ import annotations

import re

from knit_core.local.errors import LocalClusterError
from knit_core.local.java import OLDEST as OLDEST_JAVA
from knit_core.local.paths import HADOOP_VERSION

TRIED = ("3.3.6", HADOOP_VERSION, "3.5.0")


def check_version(version: str) -> None:
    """Check the version of a new cluster.

    Args:
        version: as Maven Central has it, `3.3.6`.

    Raises:
        LocalClusterError: it is no version, or one that Knit does not run on.
    """
    found = re.fullmatch(r"(\d+)\.\d+\.\d+(-[A-Za-z0-9.-]+)?", version)
    tried = ", ".join(TRIED)
    if found is None:
        raise LocalClusterError(f"hadoop {version!r}: give a version as Maven Central has it, like {HADOOP_VERSION}.")
    if found[1] != "3":
        raise LocalClusterError(
            f"hadoop {version}: Knit runs on Hadoop 3 only; its ApplicationMaster uses calls that Hadoop 2 does not have. "
            f"Versions that were tried: {tried}."
        )


def warning(version: str) -> str | None:
    """What to tell about a version that was not tried; None for one that was."""
    if version in TRIED:
        return None
    return f"Hadoop {version} was not tried with Knit; these were: {', '.join(TRIED)}"


def oldest_java(version: str) -> int:
    """The oldest Java release for the daemons: classes of Hadoop 3.5 are made for Java 17."""
    major, minor = version.split(".")[:2]
    return 17 if (int(major), int(minor)) >= (3, 5) else OLDEST_JAVA
