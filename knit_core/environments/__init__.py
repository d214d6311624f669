"""Python environments for containers: building, packing and caching them on this machine.

    from knit_core.environments import EnvironmentBuilder
    environment = EnvironmentBuilder().create("science", ["python=3.11", "numpy"], ["conda-forge"])
    environment.archive     # a .tar.gz that YARN unpacks: its bin/python runs from any folder

From arguments to archive:

    inputs/         the kinds of input: packages, files, locks, a virtual environment. A new kind goes there
    builder.py      the steps of a build, and the cache
    solve/          sessions that find and install packages
    pack/           from the installed files to an archive
    programs/       programs that run in separate processes

The import is cheap: solvers and conda-pack are loaded at the first build.
"""

from knit_core.environments.builder import EnvironmentBuilder
from knit_core.environments.dry_run import EnvironmentPlan
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
from knit_core.environments.inputs.environment_input import EnvironmentInput
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
