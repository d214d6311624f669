"""Reading the output of a solver or installer that failed."""

from __future__ import annotations

import re

LONGEST_REASON = 1500  # characters of an explanation in a message

DISK_FULL = re.compile(r"No space left|NoSpaceLeft|os error 28|Disk quota|os error 122", re.IGNORECASE)
#: An address answered that nothing is there: trying again does not help.
NOT_THERE = re.compile(r"\b(401|403|404|410)\b|could not find subdir|No such file", re.IGNORECASE)


def shortened(reason: str) -> str:
    """The beginning and the end of a long explanation."""
    reason = reason.strip()
    half = LONGEST_REASON // 2
    return reason if len(reason) <= LONGEST_REASON else f"{reason[:half]} … {reason[-half:]}"
