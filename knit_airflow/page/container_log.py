"""Reads a container's log from a cursor. The browser keeps the cursor; the server keeps no state."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Lines in the first answer; maximum lines and characters in one answer.
TAIL, MOST_LINES, MOST_CHARACTERS = 200, 1000, 500_000
#: Seconds to wait for the aggregated logs of an application that has just ended.
AGGREGATION = 1.0
#: Characters after which the page cuts a line.
LONGEST = 4000


@dataclass
class LogPart:
    """Lines, and where to continue.

    Attributes:
        lines: `[stream, text]`, as the container wrote them.
        cursor: for the next call.
        more: whether there are more lines now.
        note: why lines are missing; empty when none is.
    """

    lines: list[list[str]] = field(default_factory=list)
    cursor: dict[str, int] = field(default_factory=dict)
    more: bool = False
    note: str = ""


def checked_cursor(given: Any) -> dict[str, int] | None:
    """A cursor from a browser, validated; None: no cursor yet.

    Raises:
        ValueError: it is not a cursor of this page.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping) or len(given) > 16:
        raise ValueError("the cursor is not one of this page's")
    for key, value in given.items():
        if not isinstance(key, str) or len(key) > 200 or type(value) is not int or not 0 <= value < 2**62:
            raise ValueError("the cursor is not one of this page's")
    return dict(given)


def read_log(application: Any, container: str, cursor: Mapping[str, int] | None) -> LogPart:
    """The next lines of a container, or the last ones in the first answer. Blocks.

    Parameters:
        application: a `knit_core.Application`.
        container: YARN's id of it, or `master`.
        cursor: of the previous part; None: begin with the last lines.
    """
    from knit_core import LogCursor
    from knit_core.errors import LogsUnavailable

    at = LogCursor.load(cursor)
    part, length = LogPart(), 0
    lines = application.logs(
        containers=[container], cursor=at, tail=TAIL if cursor is None else None, timeout=AGGREGATION
    )
    with contextlib.closing(lines):
        try:
            for line in lines:
                part.lines.append([line.stream, line.shown[:LONGEST]])
                length += min(len(line.shown), LONGEST)
                if len(part.lines) >= MOST_LINES or length >= MOST_CHARACTERS:
                    part.more = True
                    break
        except LogsUnavailable as error:
            part.note = str(error)
    part.cursor = at.dump()
    return part
