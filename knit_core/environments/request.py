"""A request for an environment, brought into one form, so that the same wish has the same key.

Pure: nothing is read but the working folder (for relative channel paths). The key does not depend on the name, nor on
the order of packages. The order of channels counts: it is their priority.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform as machine
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knit_core.environments.errors import BadPackageSpec, ChannelUnreachable, PlatformMismatch

#: Part of every key: raise it when the same request has to give another archive than before.
FORMAT = 2

#: Who can solve: py-rattler, or a program on the PATH.
SOLVERS = ("rattler", "conda", "mamba", "micromamba")
DEFAULT_CHANNELS = ("conda-forge",)
# What conda's own `defaults` stands for on Linux, and its short names: they are not on conda.anaconda.org as others are.
_ANACONDA = "https://repo.anaconda.com/pkgs"
_SHORT = {"defaults": ("main", "r"), "pkgs/main": ("main",), "pkgs/r": ("r",)}
PLATFORMS = ("linux-64", "linux-aarch64", "linux-ppc64le", "linux-s390x")

_MACHINES = {"x86_64": "linux-64", "amd64": "linux-64", "aarch64": "linux-aarch64", "arm64": "linux-aarch64"}
_SPEC = re.compile(r"([\w.+/:-]+::?)?[A-Za-z0-9_*][\w.*-]*([\s=<>!~\[].*)?")
_PYTHON_SPEC = re.compile(r"(.*::)?python($|[\s=<>!~\[])")
_LONGEST_REASON = 1500  # characters
_SCHEMES = ("http://", "https://", "file://", "s3://", "gcs://", "oci://")
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
_TOKEN = re.compile(r"/t/[^/\s]+(?=/|$)")


@dataclass(frozen=True)
class Request:
    """What to build, normalised: sorted package specifications, channels in their order, the platform, the solver."""

    specs: tuple[str, ...]
    channels: tuple[str, ...]
    platform: str
    solver: str
    pip: tuple[str, ...] = ()  # requirements as pip takes them, on top; without `specs` on a copy of a Python of here
    variables: tuple[tuple[str, str], ...] = ()  # set in the environment
    python: str = ""  # without `specs`: which Python of this machine ("3.12"); empty: the one that runs this
    file: Path | None = None  # instead of `pip`: requirements.txt, pyproject.toml or uv.lock
    file_digest: str = ""  # of what it says, files that it names included

    @property
    def wanted(self) -> str:
        """What is asked for, in words, without credentials."""
        parts = [", ".join(self.specs), ", ".join(self.pip), self.file.name if self.file else ""]
        return without_secrets(" with ".join(part for part in parts if part))

    @property
    def has_pip(self) -> bool:
        """Whether something of a package index is in it."""
        return bool(self.pip or self.file)

    @property
    def key(self) -> str:
        """64 hexadecimal digits; equal for requests that mean the same."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """The request as it may be written down: channels without credentials."""
        document: dict[str, Any] = {
            "format": FORMAT,
            "specs": list(self.specs),
            "channels": [without_secrets(channel) for channel in self.channels],
            "platform": self.platform,
            "solver": self.solver,
        }
        if self.pip:
            document["pip"] = [without_secrets(requirement) for requirement in self.pip]
        if self.variables:
            document["variables"] = dict(self.variables)
        if self.file:
            document["file"] = [self.file.name, self.file_digest]
        if not self.specs:
            document["python"] = self.python or machine.python_version()
        return document


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
    """Checks and normalises.

    With `pip` and neither packages nor channels, the Python is a copy of one of this machine: the running one, or the
    version `python`. With `pip` and channels only, it is conda's Python, of the running version or of `python`.

    Raises `BadPackageSpec` (nothing asked for, or not a package specification), `ChannelUnreachable` (a channel that is
    neither a name, a URL nor a folder), `PlatformMismatch` (a platform that no YARN node has, or one that this machine
    cannot run where pip has to).
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
    wanted = checked_platform(platform)
    if from_index and not runs_here(wanted):
        raise PlatformMismatch(
            f"pip packages are installed by the environment's own Python, and one for {wanted} does not run here "
            f"({machine_platform()}): use conda packages, or build on such a machine"
        )
    return Request(
        tuple(sorted(specs)),
        _in_order(channels or (), solver) if specs else (),
        wanted,
        solver if specs else "uv",
        tuple(requirements),
        tuple(sorted((str(name), str(value)) for name, value in (variables or {}).items())),
        "" if specs else python,
        file,
        file_digest,
    )


def machine_platform() -> str:
    """conda's name for the nodes' platform as far as this machine tells: Linux, on this machine's kind of processor."""
    return _MACHINES.get(machine.machine().lower(), f"linux-{machine.machine().lower()}")


def runs_here(platform: str) -> bool:
    """Whether programs of an environment for `platform` can be run on this machine."""
    return sys.platform == "linux" and platform == machine_platform()


def without_secrets(text: str) -> str:
    """The text with the credentials of the URLs in it taken out (`user:password@` and conda's `/t/<token>`)."""
    return _TOKEN.sub("/t/***", _USER_INFO.sub("", text))


def shortened(reason: str) -> str:
    """A solver's or installer's explanation, not longer than a person reads: its beginning and its end."""
    reason = reason.strip()
    half = _LONGEST_REASON // 2
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:half]} … {reason[-half:]}"


def _spec(package: str, solver: str) -> str:
    text = " ".join(str(package).split())
    if not _SPEC.fullmatch(text):
        raise BadPackageSpec(f'{package!r} is not a package: write "numpy", "numpy=2.1" or "numpy >=1.26,<3"')
    channel, colons, name = text.partition("::")
    if colons and solver == "rattler" and channel in _SHORT:
        return f"{_ANACONDA}/{_SHORT[channel][0]}::{name}"
    return text


def _in_order(channels: Sequence[str], solver: str) -> tuple[str, ...]:
    """Channels in their order, each once; `nodefaults` says what holds here anyway: that nothing is added to them."""
    found: list[str] = []
    for channel in (_channel(each) for each in channels if str(each).strip() != "nodefaults"):
        short = _SHORT.get(channel) if solver == "rattler" else None  # the programs know it, as they are configured
        found += [channel] if short is None else [f"{_ANACONDA}/{name}" for name in short]
    return tuple(dict.fromkeys(found or DEFAULT_CHANNELS))


def _requirement(requirement: str) -> str:
    """One requirement of pip's, in any of its forms but options and editable folders."""
    text = " ".join(str(requirement).split())
    if text.startswith(("-e ", "--editable")):
        raise BadPackageSpec(
            f"{requirement!r} stays where its sources are: build a wheel of it (pip wheel) and name that, "
            "or ship the running environment (venv=True), which takes the sources along"
        )
    if not text or not re.match(r"[A-Za-z0-9./~]", text):
        raise BadPackageSpec(f'{requirement!r} is no requirement: write "six", "six==1.17" or "six >=1,<2"')
    return text


def _channel(channel: str) -> str:
    text = str(channel).strip()
    if text.startswith(_SCHEMES):
        return text.rstrip("/")
    if text.startswith(("/", ".", "~")):
        return Path(os.path.normpath(Path(text).expanduser().absolute())).as_uri()
    if re.fullmatch(r"\w[\w.-]*(/[\w.-]+)*", text):
        return text
    raise ChannelUnreachable(f"{text!r} is no channel: give a name, a URL or a folder", transient=False)


def checked_platform(platform: str | None) -> str:
    """The platform, by default this machine's kind. Raises `PlatformMismatch` for one that no YARN node has."""
    wanted = platform or machine_platform()
    if wanted not in PLATFORMS:
        raise PlatformMismatch(f"Environments for {wanted} cannot run on YARN nodes: use one of {', '.join(PLATFORMS)}")
    return wanted
