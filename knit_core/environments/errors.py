"""What can go wrong while an environment is made; all of it is an `EnvironmentFailed`.

EnvironmentFailed
├── SolveError            (knit_core.errors) no solution, or a package that no channel has
├── PlatformMismatch      (knit_core.errors) a platform that no YARN node has
├── BadEnvironmentName    (knit_core.errors) a name that cannot be a file name, a label and a URL segment alike
├── BadPackageSpec        no packages, or one that is not a package specification
├── BadEnvironmentFile    an environment.yml, requirements file or the like that says what cannot be
├── BadLock               a lock file that is broken, or a package that is not the one it names
├── BadArchive            (knit_core.errors) not an archive that YARN unpacks, or no environment in it
├── PrefixChanged         an installed environment changed while it was packed (transient)
├── ChannelUnreachable    a channel did not answer (transient) or is not one (not transient)
├── SolverMissing         neither py-rattler nor the conda that was asked for is here
└── DiskFull              the cache's disk is full
"""

from __future__ import annotations

from knit_core.errors import BadArchive, BadEnvironmentName, EnvironmentFailed, PlatformMismatch, SolveError

__all__ = [
    "BadArchive",
    "BadEnvironmentFile",
    "BadEnvironmentName",
    "BadLock",
    "BadPackageSpec",
    "ChannelUnreachable",
    "DiskFull",
    "EnvironmentFailed",
    "PlatformMismatch",
    "PrefixChanged",
    "SolveError",
    "SolverMissing",
]


class BadPackageSpec(EnvironmentFailed, ValueError):
    """No package was asked for, or something that is not a package specification."""


class BadEnvironmentFile(EnvironmentFailed, ValueError):
    """A file that describes an environment has something in it that cannot be; the message names the line."""


class BadLock(EnvironmentFailed, ValueError):
    """A lock file cannot be read, or a package is not the one whose digest it has."""


class ChannelUnreachable(EnvironmentFailed):
    """A channel could not be read; `transient` is False when it answered that there is nothing."""

    transient = True

    def __init__(self, message: str, *, transient: bool = True) -> None:
        self.transient = transient
        super().__init__(message)


class PrefixChanged(EnvironmentFailed):
    """Files of a prefix changed while it was packed: nothing was kept, the next call packs what is there then."""

    transient = True


class SolverMissing(EnvironmentFailed):
    """A program or library that builds environments is not installed here."""

    @classmethod
    def extra(cls, what: str, otherwise: str = "") -> SolverMissing:
        """What comes with the extra `env` is missing.

        Args:
            what: its name and what it does.
            otherwise: another remedy.
        """
        more = f", or {otherwise}" if otherwise else ""
        return cls(f"{what} is not installed here: pip install 'knit-yarn[env]'{more}")


class DiskFull(EnvironmentFailed):
    """No space or quota is left where the cache is."""
