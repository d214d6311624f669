"""`knit.utils` of knit 0.2.4."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from typing import Any

from knit.refusals import refusing

format = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
__getattr__ = refusing(__name__)


def set_logging(level: int | str) -> None:
    """Set the level of the loggers of Knit."""
    for name in ("knit", "knit_core"):
        logging.getLogger(name).setLevel(level)


def shell_out(cmd: Sequence[str] | None = None, **kwargs: Any) -> str:
    """The output of a program, as text.

    Args:
        cmd: the words of its command line.
        kwargs: of `subprocess.check_output`.
    """
    return str(subprocess.check_output(cmd or kwargs.pop("args"), **kwargs).decode())


def triple_slash(s: str) -> str:
    """`hdfs://folder/file` as `hdfs:///folder/file`: a path, not a host's name."""
    return f"hdfs:///{s[7:]}" if s.startswith("hdfs://") and not s.startswith("hdfs:///") else s
