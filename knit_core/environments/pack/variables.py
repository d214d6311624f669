"""Environment variables of an environment, written to a script in its archive.

conda sets them at activation, from `etc/conda/env_vars.d/*.json` of packages and from `conda-meta/state`, which
`conda env config vars set` writes. Containers run no activation. They source the scripts in `etc/conda/activate.d`, which
packages have too, this script first.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from knit_core.environments.pack.file_filter import secret_variable

SCRIPT_NAME = "etc/conda/activate.d/00-knit-variables.sh"
_UNSET = "***unset***"  # conda's value for a removed variable
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_variables(prefix: Path, left_out: Callable[[str], None]) -> dict[str, str]:
    """The variables of a prefix without those that look like secrets, which are passed to `left_out`."""
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
    """A bash script that sets them. The environment's path `embedded` becomes `$CONDA_PREFIX`."""
    lines = [
        f"export {name}=" + '"$CONDA_PREFIX"'.join(shlex.quote(part) if part else "" for part in value.split(embedded))
        for name, value in sorted(variables.items())
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _texts(path: Path, key: str = "") -> dict[str, str]:
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # conda ignores such a file too
        return {}
    if key and isinstance(document, dict):
        document = document.get(key)
    if not isinstance(document, dict):
        return {}
    return {name: str(value) for name, value in document.items() if _NAME.fullmatch(str(name))}
