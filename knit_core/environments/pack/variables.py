"""Environment variables that packages and people set for an environment, kept with it as a script of its own.

conda sets them at activation, which containers do not run: `etc/conda/env_vars.d/*.json` of packages, and
`conda-meta/state` of `conda env config vars set`. Packages' own scripts in `etc/conda/activate.d` travel as they are;
the container sources them all, this one first, as conda does.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from knit_core.environments.pack.file_filter import secret_variable

SCRIPT_NAME = "etc/conda/activate.d/00-knit-variables.sh"
_UNSET = "***unset***"  # conda's word for a variable that is taken away
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_variables(prefix: Path, left_out: Callable[[str], None]) -> dict[str, str]:
    """The variables of a prefix; those whose names say that they are secret are told to `left_out`, and stay here."""
    found: dict[str, str] = {}
    for path in sorted((prefix / "etc" / "conda" / "env_vars.d").glob("*.json")):
        found |= _texts(path)
    state = prefix / "conda-meta" / "state"
    for name, value in _texts(state, "env_vars").items():
        if value == _UNSET:
            found.pop(name, None)
        else:
            found[name] = value
    for name in [name for name in found if secret_variable(name)]:
        del found[name]
        left_out(f"the variable {name}")
    return found


def script(variables: Mapping[str, str], embedded: str) -> bytes:
    """Lines for bash that set them; the environment's own path `embedded` becomes `$CONDA_PREFIX`."""
    lines = [
        f"export {name}=" + '"$CONDA_PREFIX"'.join(shlex.quote(part) if part else "" for part in value.split(embedded))
        for name, value in sorted(variables.items())
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _texts(path: Path, key: str = "") -> dict[str, str]:
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # conda goes on without such a file, too
        return {}
    if key and isinstance(document, dict):
        document = document.get(key)
    if not isinstance(document, dict):
        return {}
    return {name: str(value) for name, value in document.items() if _NAME.fullmatch(str(name))}
