"""Input by an installed conda environment: its folder, or its name for conda, mamba and micromamba."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from knit_core.environments.errors import BadArchive


def prefix_folder(prefix: str | os.PathLike[str], environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of a conda environment. A name is looked up in the folders where conda looks.

    Raises `BadArchive` if no environment has the name.
    """
    text = os.fspath(prefix)
    path = Path(text).expanduser()
    if path.exists() or not re.fullmatch(r"[\w.+-]+", text):
        return path.resolve()
    folders = list(dict.fromkeys(_folders(environment)))
    for folder in folders:
        if (folder / text / "conda-meta").is_dir():
            return (folder / text).resolve()
    looked = ", ".join(map(str, folders)) or "nowhere: neither CONDA_EXE, CONDA_ENVS_PATH nor MAMBA_ROOT_PREFIX is set"
    raise BadArchive(f"No conda environment is called {text!r} (looked in {looked}): give its folder")


def _folders(environment: Mapping[str, str]) -> Iterator[Path]:
    for variable in ("CONDA_ENVS_PATH", "CONDA_ENVS_DIRS"):
        yield from (Path(folder) for folder in environment.get(variable, "").split(os.pathsep) if folder)
    if program := environment.get("CONDA_EXE"):
        yield Path(program).parent.parent / "envs"
    if root := environment.get("MAMBA_ROOT_PREFIX"):
        yield Path(root) / "envs"
    listed = Path(environment.get("HOME", "/")) / ".conda" / "environments.txt"  # conda appends each new environment
    if listed.is_file():
        yield from (Path(line.strip()).parent for line in listed.read_text().splitlines() if line.strip())
