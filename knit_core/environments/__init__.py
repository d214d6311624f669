"""Python environments for containers: what they are, how they are built, packed and kept.

    from knit_core.environments import EnvironmentBuilder
    environment = EnvironmentBuilder().create("science", ["python=3.11", "numpy"], ["conda-forge"])
    environment.archive     # a .tar.gz that YARN unpacks: bin/python works as it is

Importing this is cheap: neither a solver nor conda-pack is loaded before something is built.
"""

from knit_core.environments.builder import EnvironmentBuilder
from knit_core.environments.environment_input import EnvironmentInput
from knit_core.environments.errors import (
    BadArchive,
    BadEnvironmentFile,
    BadEnvironmentName,
    BadLock,
    BadPackageSpec,
    ChannelUnreachable,
    DiskFull,
    EnvironmentFailed,
    PlatformMismatch,
    PrefixChanged,
    SolveError,
    SolverMissing,
)
from knit_core.environments.plan import EnvironmentPlan
from knit_core.environments.progress import Progress, Stage
from knit_core.model.environment import Environment, PackageVersion

__all__ = [
    "BadArchive",
    "BadEnvironmentFile",
    "BadEnvironmentName",
    "BadLock",
    "BadPackageSpec",
    "ChannelUnreachable",
    "DiskFull",
    "Environment",
    "EnvironmentBuilder",
    "EnvironmentFailed",
    "EnvironmentInput",
    "EnvironmentPlan",
    "PackageVersion",
    "PlatformMismatch",
    "PrefixChanged",
    "Progress",
    "SolveError",
    "SolverMissing",
    "Stage",
]
