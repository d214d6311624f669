"""Environments in arguments of commands: by their name in the cache, or by their address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knit_core.errors import KnitError

if TYPE_CHECKING:
    from knit_core.environments import Environment, EnvironmentBuilder

#: Help of `--env`.
HELP = "An environment: its name (knit env list), an archive, local or on HDFS, or an absolute folder on all nodes."

_KEY = 4  # least number of digits of a key


def find(builder: EnvironmentBuilder, name: str) -> Environment:
    """The environment of this machine's cache with this name, or with this beginning of its key.

    Raises:
        KnitError: no environment has it.
    """
    environments = builder.list()
    for environment in environments:
        if environment.name == name:
            return environment
    by_key = [each for each in environments if len(name) >= _KEY and each.key.startswith(name)]
    if by_key:
        return by_key[0]
    known = ", ".join(each.name for each in environments) or "none"
    raise KnitError(f"No environment {name!r} in the cache of this machine (there are: {known}). See knit env create.")


def named(text: str | None) -> str | Environment | None:
    """The value of `--env`. An archive is returned unchecked; the launch checks it.

    Raises:
        KnitError: not an archive, not an absolute folder, and not a name in this machine's cache.
    """
    from knit_core.environments import Environment, EnvironmentBuilder
    from knit_core.model.environment import ARCHIVE_SUFFIXES

    if text is None or "://" in text or text.lower().endswith(ARCHIVE_SUFFIXES):
        return text
    if text.startswith("/"):
        return Environment.from_path(text)
    try:
        return find(EnvironmentBuilder(), text)
    except KnitError as error:
        raise KnitError(f"{error} An archive's name ends with {', '.join(ARCHIVE_SUFFIXES)}.") from None
