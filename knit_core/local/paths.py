"""Folders of embedded clusters and of Hadoop's jars."""

from __future__ import annotations

import os
from pathlib import Path

HADOOP_VERSION = "3.4.2"
STATE_VARIABLE = "KNIT_LOCAL_STATE"


def cache_root() -> Path:
    """`$XDG_CACHE_HOME/knit`, or `~/.cache/knit`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "knit"


def default_state_dir() -> Path:
    """The folder of the default cluster: `$KNIT_LOCAL_STATE`, or `local/default` in the cache folder."""
    named = os.environ.get(STATE_VARIABLE)
    return Path(named).expanduser().absolute() if named else cache_root() / "local" / "default"


def jars_root(version: str = HADOOP_VERSION) -> Path:
    """The folder for the jars of a version of Hadoop, shared by all clusters of this user; it may not exist."""
    return cache_root() / f"hadoop-{version}"
