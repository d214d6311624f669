"""Compares the package versions of client and cluster. Pure."""

from __future__ import annotations

from collections.abc import Mapping

_EXACT = ("dask", "distributed", "msgpack", "cloudpickle", "toolz", "tornado")


class VersionMismatch(UserWarning):
    """Client and cluster have different versions of shared packages; the message lists them."""


def mismatches(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """One line for each package with a relevant difference: "dask: 2026.8.0 here, 2025.9.1 in the cluster".

    Compares the minor version of Python (functions are sent as bytecode), the exact versions of packages that Dask requires,
    and the first two numbers of other packages. Other packages that only one side has are ignored.

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
    """The text of the warning; empty without differences."""
    if not lines:
        return ""
    return (
        "Client and Dask cluster have different versions, so that one may be unable to unpickle data of the other: "
        + "; ".join(lines)
        + ". Create the cluster's environment with the versions of this machine, or install those of the cluster here."
    )
