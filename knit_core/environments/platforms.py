"""Platforms that YARN nodes have, by conda's names, and the one of this machine."""

from __future__ import annotations

import platform as machine
import sys

from knit_core.environments.errors import PlatformMismatch

PLATFORMS = ("linux-64", "linux-aarch64", "linux-ppc64le", "linux-s390x")

_MACHINES = {"x86_64": "linux-64", "amd64": "linux-64", "aarch64": "linux-aarch64", "arm64": "linux-aarch64"}


def machine_platform() -> str:
    """The default platform: Linux on this machine's processor architecture."""
    return _MACHINES.get(machine.machine().lower(), f"linux-{machine.machine().lower()}")


def runs_here(platform: str) -> bool:
    """Whether programs of an environment for `platform` can be run on this machine."""
    return sys.platform == "linux" and platform == machine_platform()


def checked_platform(platform: str | None) -> str:
    """The platform; the default for None. Raises `PlatformMismatch` for a platform that no YARN node has."""
    checked = platform or machine_platform()
    if checked not in PLATFORMS:
        raise PlatformMismatch(
            f"Environments for {checked} cannot run on YARN nodes: use one of {', '.join(PLATFORMS)}"
        )
    return checked
