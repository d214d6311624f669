"""Input by lists: conda packages, channels and pip requirements, normalized to a `Request` for a solver.

Pure but for the working folder, which relative channel paths begin at. The request's key depends neither on the
environment's name nor on the order of packages. It depends on the order of channels, which is their priority.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from knit_core.environments.errors import BadPackageSpec, ChannelUnreachable, PlatformMismatch
from knit_core.environments.platforms import checked_platform, machine_platform, runs_here
from knit_core.environments.solve.request import Request

DEFAULT_CHANNELS = ("conda-forge",)
# conda's `defaults` on Linux and its short names are at this address, not on conda.anaconda.org.
_ANACONDA = "https://repo.anaconda.com/pkgs"
_SHORT_NAMES = {"defaults": ("main", "r"), "pkgs/main": ("main",), "pkgs/r": ("r",)}

_SPEC = re.compile(r"([\w.+/:-]+::?)?[A-Za-z0-9_*][\w.*-]*([\s=<>!~\[].*)?")
_PYTHON_SPEC = re.compile(r"(.*::)?python($|[\s=<>!~\[])")
_SCHEMES = ("http://", "https://", "file://", "s3://", "gcs://", "oci://")


def make_request(
    packages: Sequence[str],
    channels: Sequence[str] | None = None,
    *,
    pip: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    platform: str | None = None,
    python: str = "",
    solver: str,
    file: Path | None = None,
    file_digest: str = "",
) -> Request:
    """Checks and normalizes the lists.

    With `pip` and neither packages nor channels, the Python is a copy of one of this machine: the running one, or the
    version `python`. With `pip` and channels only, it is conda's Python, of the running version or of `python`.

    Raises `BadPackageSpec` (no package, or not a package specification), `ChannelUnreachable` (a channel that is neither
    a name, a URL nor a folder), `PlatformMismatch` (a platform that no YARN node has, or pip packages for a platform
    that this machine cannot run).
    """
    if isinstance(packages, str) or isinstance(channels, str) or isinstance(pip, str):
        raise BadPackageSpec('packages, channels and pip are lists: packages=["numpy"], channels=["conda-forge"]')
    specs = {_spec(package, solver) for package in packages}
    requirements = sorted({_requirement(requirement) for requirement in pip})
    from_index = bool(requirements or file)
    if (from_index or python) and (specs or channels) and not any(_PYTHON_SPEC.match(spec) for spec in specs):
        specs.add(f"python={python or '.'.join(map(str, sys.version_info[:2]))}")
    if not specs and not from_index:
        raise BadPackageSpec('An environment needs at least one package: packages=["python=3.11", "numpy"]')
    target = checked_platform(platform)
    if from_index and not runs_here(target):
        raise PlatformMismatch(
            f"pip packages are installed by the environment's own Python, and a Python for {target} does not run here "
            f"({machine_platform()}): use conda packages, or build on a machine of that platform"
        )
    return Request(
        tuple(sorted(specs)),
        _channels(channels or (), solver) if specs else (),
        target,
        solver if specs else "uv",
        tuple(requirements),
        tuple(sorted((str(name), str(value)) for name, value in (variables or {}).items())),
        "" if specs else python,
        file,
        file_digest,
    )


def _spec(package: str, solver: str) -> str:
    text = " ".join(str(package).split())
    if not _SPEC.fullmatch(text):
        raise BadPackageSpec(
            f'{package!r} is not a package specification: write "numpy", "numpy=2.1" or "numpy >=1.26,<3"'
        )
    channel, colons, name = text.partition("::")
    if colons and solver == "rattler" and channel in _SHORT_NAMES:
        return f"{_ANACONDA}/{_SHORT_NAMES[channel][0]}::{name}"
    return text


def _channels(channels: Sequence[str], solver: str) -> tuple[str, ...]:
    """Channels in order, without duplicates. `nodefaults` is dropped: no channel is ever added here."""
    found: list[str] = []
    for channel in (_channel(each) for each in channels if str(each).strip() != "nodefaults"):
        # conda programs resolve short names by their own configuration
        short = _SHORT_NAMES.get(channel) if solver == "rattler" else None
        found += [channel] if short is None else [f"{_ANACONDA}/{name}" for name in short]
    return tuple(dict.fromkeys(found or DEFAULT_CHANNELS))


def _channel(channel: str) -> str:
    text = str(channel).strip()
    if text.startswith(_SCHEMES):
        return text.rstrip("/")
    if text.startswith(("/", ".", "~")):
        return Path(os.path.normpath(Path(text).expanduser().absolute())).as_uri()
    if re.fullmatch(r"\w[\w.-]*(/[\w.-]+)*", text):
        return text
    raise ChannelUnreachable(f"{text!r} is not a channel: give a name, a URL or a folder", transient=False)


def _requirement(requirement: str) -> str:
    """One requirement in pip's syntax; options and editable folders are refused."""
    text = " ".join(str(requirement).split())
    if text.startswith(("-e ", "--editable")):
        raise BadPackageSpec(
            f"{requirement!r} stays in its source folder: build a wheel of it (pip wheel) and name the wheel, "
            "or ship the running environment (venv=True), which includes the sources"
        )
    if not text or not re.match(r"[A-Za-z0-9./~]", text):
        raise BadPackageSpec(f'{requirement!r} is not a requirement: write "six", "six==1.17" or "six >=1,<2"')
    return text
