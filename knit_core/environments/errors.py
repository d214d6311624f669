"""The errors of a build of an environment. All are subclasses of `EnvironmentFailed`.

EnvironmentFailed
├── SolveError            (knit_core.errors) no solution, or a package that is in no channel
├── PlatformMismatch      (knit_core.errors) a platform that no YARN node has
├── BadEnvironmentName    (knit_core.errors) a name that cannot be a file name, a label and a URL segment alike
├── BadPackageSpec        no packages, or a text that is not a package specification
├── BadEnvironmentFile    an invalid environment.yml, requirements file or the like
├── BadLock               an invalid lock file, or a package with another digest than in the lock
├── BadArchive            (knit_core.errors) not an archive that YARN unpacks, or no environment in it
├── PrefixChanged         an installed environment changed while it was packed (transient)
├── ChannelUnreachable    a channel did not answer (transient) or is not a channel (not transient)
├── SolverMissing         a program or library that builds environments is not installed
└── DiskFull              no space or quota is left for the cache
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
    """No package is given, or a text that is not a package specification."""


class BadEnvironmentFile(EnvironmentFailed, ValueError):
    """A file that describes an environment is invalid; the message names the line."""


class BadLock(EnvironmentFailed, ValueError):
    """A lock file cannot be read, or a package has another digest than in the lock."""


class ChannelUnreachable(EnvironmentFailed):
    """A channel or index could not be read. `transient` is False if it answered that nothing is there."""

    transient = True

    def __init__(self, message: str, *, transient: bool = True) -> None:
        self.transient = transient
        super().__init__(message)


class PrefixChanged(EnvironmentFailed):
    """Files of a prefix changed while it was packed. Nothing was kept; call again."""

    transient = True


class SolverMissing(EnvironmentFailed):
    """A program or library that builds environments is not installed."""

    @classmethod
    def extra(cls, what: str, otherwise: str = "") -> SolverMissing:
        """The error for a program or library of the extra `env`.

        Args:
            what: its name and purpose.
            otherwise: another remedy.
        """
        more = f", or {otherwise}" if otherwise else ""
        return cls(f"{what} is not installed here: pip install 'knit-yarn[env]'{more}")


class DiskFull(EnvironmentFailed):
    """No space or quota is left for the cache."""
