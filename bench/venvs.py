"""Throwaway virtual environments for the peers: they must not meet this repository's packages."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PEERS = {
    # Old packages: setuptools 81 and later no longer have pkg_resources, which they may import.
    "skein 0.8.2": ["skein==0.8.2", "setuptools<81"],
    "knit 0.2.4": ["knit==0.2.4", "setuptools<81"],
    "venv-pack": ["venv-pack==0.2.0", "setuptools<81"],
    "cluster-pack": ["cluster-pack", "setuptools<81"],
    # Needs names that distributed no longer has, and a Client that asks no `status` of its cluster: the last that it runs with.
    "dask-yarn 0.9": [
        "dask-yarn==0.9",
        "distributed==2021.12.0",
        "dask==2021.12.0",
        "click<8.1",
        "tornado<6.2",
        "setuptools<60",
    ],
}


def interpreter_for(peer: str) -> Path:
    """The Python of the peer's environment, made in the user's cache folder when it is not there yet.

    Raises:
        RuntimeError: it could not be installed; the message has pip's last words.
    """
    wanted = PEERS[peer]
    key = hashlib.sha256(repr((wanted, sys.version)).encode()).hexdigest()[:12]
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "knit" / "bench" / f"{peer.replace(' ', '-')}-{key}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines()[-3:]
            raise RuntimeError(f"installation failed: {' / '.join(words)}")
    complete.touch()
    return python
