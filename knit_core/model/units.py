"""Amounts with units: memory ("2 GiB", or a number of MiB) and time spans ("1 h", or a number of seconds)."""

from __future__ import annotations

import math
import re

_MEMORY = {"b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_TIME = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME_NAMES = {"sec": "s", "second": "s", "min": "m", "minute": "m", "hour": "h", "hr": "h", "day": "d"}
_AMOUNT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def mebibytes(value: int | float | str) -> int:
    """Memory in whole MiB, rounded up: 512, 512.0, "512", "512 MiB", "2GiB", "1.5 g", "2 GB".

    A number without a unit is in MiB. One letter is a binary unit (as in `-Xmx2g`); "kB", "MB" and "GB" are decimal.

    Raises:
        ValueError: not an amount, or not positive.
    """
    return math.ceil(_bytes(value) / 2**20)


def _bytes(value: int | float | str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"memory is a number of MiB or a text such as '2 GiB', not {value!r}")
    if isinstance(value, (int, float)):
        number, unit = _number(value), 2**20
    else:
        found = _AMOUNT.fullmatch(value)
        name = found[2].lower().replace("ib", "") if found else "?"
        if not found or (name and name not in _MEMORY):
            raise ValueError(f"memory is a number of MiB or a text such as '2 GiB', not {value!r}")
        number, unit = float(found[1]), _MEMORY[name] if name else 2**20
    if not math.isfinite(number * unit) or number <= 0:
        raise ValueError(f"memory must be positive, not {value!r}")
    return number * unit


def size(value: int | float | str) -> int:
    """A size in bytes, in the format of `mebibytes` (a number without a unit is in MiB); 0 is allowed.

    Raises:
        ValueError: not an amount.
    """
    text = value.strip() if isinstance(value, str) else value
    if text in (0, "0"):
        return 0
    return math.ceil(_bytes(text))


def seconds(value: int | float | str) -> float:
    """A time span in seconds: 30, 0.5, "30", "30 s", "5 min", "1 h", "1h30m".

    Raises:
        ValueError: not a time span, or negative.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"a time span is a number of seconds or a text such as '5 min', not {value!r}")
    if isinstance(value, (int, float)):
        total = _number(value)
    else:
        total, rest = 0.0, value
        if not value.strip():
            raise ValueError("a time span is a number of seconds or a text such as '5 min', not an empty text")
        while rest.strip():
            found = _AMOUNT.match(rest)
            name = found[2].lower() if found else "?"
            name = _TIME_NAMES.get(name.rstrip("s") if len(name) > 2 else name, name) or "s"
            if not found or name not in _TIME:
                raise ValueError(f"a time span is a number of seconds or a text such as '5 min', not {value!r}")
            total, rest = total + float(found[1]) * _TIME[name], rest[found.end() :]
    if not math.isfinite(total) or total < 0:
        raise ValueError(f"a time span must be finite and not negative, not {value!r}")
    return total


def _number(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:  # an int too large for a float
        return math.inf


def show_memory(mib: float) -> str:
    """MiB with a unit: "512 MiB", "1.5 GiB"."""
    if mib < 1024:
        return f"{mib:.0f} MiB"
    return f"{mib / 1024:.1f}".rstrip("0").rstrip(".") + " GiB"


def show_bytes(count: float) -> str:
    """Bytes with a unit: "812 B", "34 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"


def show_seconds(span: float) -> str:
    """A time span with units: "3.1 s", "4 min 10 s", "2 h 5 min"."""
    if span < 60:
        return f"{span:.1f} s"
    minutes, rest = divmod(round(span), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def counted(number: int, what: str, one: str = "", many: str = "") -> str:
    """A number with a noun, and optionally a verb: "1 container is", "2 containers are", "3 processes"."""
    if number == 1:
        return f"1 {what} {one}".rstrip()
    plural = (
        f"{what[:-1]}ies"
        if re.search("[^aeiou]y$", what)
        else f"{what}es"
        if re.search("(s|x|ch|sh)$", what)
        else f"{what}s"
    )
    return f"{number} {plural} {many}".rstrip()
