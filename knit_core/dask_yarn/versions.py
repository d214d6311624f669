"""Do client and cluster have the same packages? Pure."""

from __future__ import annotations

from collections.abc import Mapping

_EXACT = ("dask", "distributed", "msgpack", "cloudpickle", "toolz", "tornado")


class VersionMismatch(UserWarning):
    """Client and cluster have other versions of packages that both must have; the message names them."""


def mismatches(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """One line for each package that differs in a way that matters: "dask: 2026.8.0 here, 2025.9.1 in the cluster".

    Python's minor version must agree (functions are sent as bytecode), Dask's own packages exactly, those that are only
    on one side not at all unless Dask itself needs them; others in their first two numbers.

    Args:
        here, there: versions by package, `python` included.
    """
    lines = []
    for name in sorted({*here, *there}, key=lambda name: (name != "python", name)):
        mine, other = here.get(name), there.get(name)
        if mine is None or other is None:
            if name in _EXACT:
                lines.append(f"{name}: {mine or 'none'} here, {other or 'none'} in the cluster")
            continue
        same = mine == other if name in _EXACT else mine.split(".")[:2] == other.split(".")[:2]
        if not same:
            lines.append(f"{name}: {mine} here, {other} in the cluster")
    return lines


def mismatch_message(lines: list[str]) -> str:
    """What to say about it; empty when nothing differs."""
    if not lines:
        return ""
    return (
        "Client and Dask cluster have different versions, so that what one pickles the other may not read: "
        + "; ".join(lines)
        + ". Create the cluster's environment with the versions that are installed here (or the other way round)."
    )
