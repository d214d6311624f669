"""Unpacks an environment as on a node, and runs its programs as a user that does not own the files."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from knit_core.environments import Environment

NOBODY = 65534


@contextmanager
def unpacked(environment: Environment) -> Iterator[Path]:
    """The environment's folder: without write permission, in a folder that every user can traverse."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        target = Path(folder) / "unpacked here"
        target.mkdir()
        subprocess.run(["tar", "-xzf", str(environment.archive), "-C", str(target)], check=True)
        subprocess.run(["chmod", "-R", "a-w,a+rX", str(target)], check=True)
        yield target
        subprocess.run(["chmod", "-R", "u+w", str(target)], check=True)


def run(prefix: Path, *command: str) -> str:
    """Runs a program with the environment's bin first in PATH, as another user if possible; its output."""
    other = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    done = subprocess.run(
        command,
        env={"PATH": f"{prefix}/bin:/usr/bin:/bin", "HOME": "/nonexistent"},
        cwd="/",
        capture_output=True,
        text=True,
        **other,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout.strip())
