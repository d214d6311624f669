"""Bytecode for packed environments. Without it, each container compiles its imports anew, as it cannot store bytecode."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from knit_core.environments.errors import EnvironmentFailed
from knit_core.environments.pack.tarball import EMBEDDED_PREFIX, relocated

_PROGRAM = Path(__file__).parents[1] / "programs" / "compile_bytecode.py"


@dataclass(frozen=True)
class Bytecode:
    """Compiled files, concatenated in one file.

    Attributes:
        file: that file.
        sizes: bytes of each by its relative path in the environment, in the order of `file`.
    """

    file: Path
    sizes: Mapping[str, int]

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Each path with its bytes, sorted by path."""
        starts = dict(zip(self.sizes, accumulate(self.sizes.values(), initial=0), strict=False))
        if not self.sizes:
            return
        with self.file.open("rb") as file:
            for path in sorted(self.sizes):
                file.seek(starts[path])
                yield path, file.read(self.sizes[path])


def compile_bytecode(prefix: Path, embedded: str, files: Iterable[str], output: Path) -> Bytecode:
    """Compiles the Python files among `files` with the prefix's own Python, as they are packed.

    Args:
        prefix: the environment.
        embedded: its path that is written in its files.
        files: relative paths.
        output: a new folder.

    One new process without user settings compiles the files in order, so that equal input gives equal bytes.
    """
    sources = sorted(path for path in files if path.endswith(".py") and not (prefix / path).is_symlink())
    if not sources:
        return Bytecode(output, {})
    output.mkdir(parents=True)
    named = [(str(_as_packed(prefix / source, embedded, output / "sources" / source)), source) for source in sources]
    file = output / "bytecode"
    done = subprocess.run(
        [prefix / "bin" / "python", "-S", "-s", "-B", _PROGRAM, str(os.getpid()), EMBEDDED_PREFIX, file],
        input="".join(f"{json.dumps(pair)}\n" for pair in named),  # names may contain any character
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
    return Bytecode(file, dict(json.loads(line) for line in done.stdout.splitlines()))


def _as_packed(source: Path, embedded: str, copy: Path) -> Path:
    """The file, or a copy without the path `embedded`: bytecode must match the packed source."""
    data = source.read_bytes()
    if embedded.encode() not in data:
        return source
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(relocated(data, embedded))
    return copy
