"""Compiles the classes that replace some of Hadoop's on a cluster with Kerberos."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from knit_core.local.errors import LocalClusterError
from knit_core.local.java import Java

_SOURCES = Path(__file__).parent / "java"


def compile_classes(folder: Path, jars: Path, java: Java) -> None:
    """Compile the sources beside this file, unless it was done before.

    Args:
        folder: for the classes.
        jars: Hadoop's jars.
        java: the runtime of the daemons; its `javac` is used, else that on the PATH.

    Raises:
        LocalClusterError: there is no compiler, or it fails.
    """
    if (folder / "org").is_dir():
        return
    beside = java.home / "bin" / "javac"
    compiler = str(beside) if beside.exists() else shutil.which("javac")
    if compiler is None:
        raise LocalClusterError(
            "A cluster with Kerberos needs a Java compiler (javac): install a JDK, for example openjdk-17-jdk-headless"
        )
    scratch = folder.with_name(f".{folder.name}")
    shutil.rmtree(scratch, ignore_errors=True)
    sources = sorted(str(path) for path in _SOURCES.glob("*.java"))
    command = [
        compiler,
        "--release",
        "8",
        "-nowarn",
        "-Xlint:-options",
        "-cp",
        f"{jars}/*",
        "-d",
        str(scratch),
        *sources,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise LocalClusterError(f"javac failed: {done.stderr.strip() or done.stdout.strip()}")
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)
