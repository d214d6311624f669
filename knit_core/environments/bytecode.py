"""Bytecode for packed environments: without it, each container compiles what it imports, as it cannot write it down."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from knit_core.environments.errors import EnvironmentFailed
from knit_core.environments.tarball import EMBEDDED_PREFIX, relocated

_PROGRAM = Path(__file__).parent / "programs" / "compile_bytecode.py"


def compile_bytecode(prefix: Path, embedded: str, files: Iterable[str], output: Path) -> list[str]:
    """Compiles the Python files among `files` (relative to `prefix`) with the prefix's own Python, as they are packed.

    `embedded` is the path that the files have in them where they mean their environment. The result is put below
    `output` at the places it has in the environment; these relative paths are returned, sorted. One fresh process
    without anybody's settings does it, in the files' order, so that equal input gives equal bytes.
    """
    sources = sorted(path for path in files if path.endswith(".py") and not (prefix / path).is_symlink())
    if not sources:
        return []
    named = [(str(_as_packed(prefix / source, embedded, output / "sources" / source)), source) for source in sources]
    done = subprocess.run(
        [prefix / "bin" / "python", "-S", "-s", "-B", _PROGRAM, str(os.getpid()), EMBEDDED_PREFIX, output],
        input="".join(f"{json.dumps(pair)}\n" for pair in named),  # names may have any character
        cwd=prefix,
        env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if done.returncode != 0:
        raise EnvironmentFailed(
            f"{prefix / 'bin' / 'python'} could not compile the environment's packages "
            f"(exit code {done.returncode}): {done.stderr.strip()[-500:]}"
        )
    return sorted(path.relative_to(output).as_posix() for path in output.rglob("*.pyc"))


def _as_packed(source: Path, embedded: str, copy: Path) -> Path:
    """The file itself, or a copy with the path taken out: bytecode must not keep what the packed source has lost."""
    data = source.read_bytes()
    if embedded.encode() not in data:
        return source
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(relocated(data, embedded))
    return copy
