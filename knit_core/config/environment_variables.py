"""Names of environment variables: mistyped `KNIT_…` variables are refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from knit_core.errors import ConfigError

#: `KNIT_…` variables that are not settings: read by other parts of Knit, its tests and knit 0.2.4, or set in containers.
_OTHER = "CONFIG LOCAL_STATE MAVEN_REPOSITORY EXAMPLE_CHANNEL SCREENSHOTS LANG HOME"
_IN_CONTAINERS = "APP_ID SERVICE INSTANCE INSTANCES ATTEMPT CONTAINER MASTER MASTER_ATTEMPT MASTER_FILE"
OTHER_VARIABLES = frozenset(f"KNIT_{name}" for name in f"{_OTHER} {_IN_CONTAINERS}".split())
# Variables of tests, and those that Kubernetes sets in pods when the name of a service begins with "knit".
_OTHER_PATTERN = re.compile(r"KNIT_TEST_\w+|KNIT_(\w+_)?(SERVICE_(HOST|PORT)|PORT)(_\w+)?")


def check_variables(environ: Iterable[str], settings: Iterable[str]) -> None:
    """Refuse variables that begin with `KNIT_` and have no meaning: most likely their names are mistyped.

    Raises:
        ConfigError: the message has the most similar name.
    """
    known = {f"KNIT_{name.upper()}" for name in settings}
    for name in sorted(environ):
        if not name.startswith("KNIT_") or name in known or name in OTHER_VARIABLES or _OTHER_PATTERN.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, [*known, *OTHER_VARIABLES], n=1)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else "knit doctor shows what is set; docs/configuration.md lists the settings."
        )
        raise ConfigError(f"The environment variable {name} is no setting of Knit; {hint} Otherwise unset it.")
