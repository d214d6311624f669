"""Builds the ApplicationMaster's jar with Maven and puts it into the wheel.

`pip install .` on a clean checkout needs a JDK and Maven; a source tree that already has an up-to-date jar needs neither.
The jar is reproducible (fixed entry times, sorted entries), so its SHA-256 identifies its source.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script in a source tree, to build the jar alone
    BuildHookInterface = object  # type: ignore[assignment,misc]

JAR = Path("knit_core/jars/knit-am.jar")
STAMP = Path("java/target/knit-am.source.sha256")


def source_digest(java: Path) -> str:
    """SHA-256 over the names and contents of everything that the jar is made of."""
    digest = hashlib.sha256()
    for path in sorted([java / "pom.xml", *(java / "src" / "main").rglob("*")]):
        if path.is_file():
            digest.update(f"{path.relative_to(java)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def build_jar(root: Path) -> None:
    """Build the jar unless it is there and made of the present source.

    Raises:
        SystemExit: Maven or a JDK is missing, or the build failed; the message is one sentence.
    """
    jar, stamp, java = root / JAR, root / STAMP, root / "java"
    digest = source_digest(java)
    if jar.is_file() and stamp.is_file() and stamp.read_text() == digest:
        return
    missing = [tool for tool, found in (("Maven (mvn)", shutil.which("mvn")), ("a JDK (javac)", _javac())) if not found]
    if missing:
        raise SystemExit(
            f"knit-yarn needs {' and '.join(missing)} to build its ApplicationMaster from source: "
            "install a JDK >= 11 and Maven, or install a released wheel, which has it inside."
        )
    done = subprocess.run(
        ["mvn", "-q", "-B", "-ntp", "-DskipTests", "package"], cwd=java, capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise SystemExit(f"Maven could not build the ApplicationMaster (java/pom.xml), its last lines:\n{tail}")
    jar.parent.mkdir(parents=True, exist_ok=True)
    temporary = jar.with_suffix(f".{os.getpid()}")
    shutil.copyfile(java / "target" / "knit-am.jar", temporary)
    temporary.replace(jar)
    stamp.write_text(digest)


def _javac() -> str | None:
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "javac").is_file():
        return str(Path(home) / "bin" / "javac")
    return shutil.which("javac")


class ApplicationMasterHook(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling calls `initialize` before it collects a wheel's files (editable installs too)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel":
            build_jar(Path(self.root))


if __name__ == "__main__":
    build_jar(Path(__file__).resolve().parent)
