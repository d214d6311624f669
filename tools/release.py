"""Checks a release and builds its wheel and sdist: `python tools/release.py` (make release). Nothing is uploaded or tagged.

It wants a clean checkout, a version without `dev`, and that version at the top of CHANGELOG.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Collection, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("knit", "knit_airflow", "knit_container", "knit_core")
_WHEEL = (*(f"{package}/py.typed" for package in PACKAGES), "knit_core/jars/knit-am.jar")
_SDIST = ("java/pom.xml", "hatch_build.py", "README.md", "LICENSE", "CHANGELOG.md", "constraints.txt")


def main() -> int:
    """The exit code: 1 when something is wrong, which is told."""
    found = version(ROOT)
    problems = source_problems(ROOT, found, _git("tag").split(), _git("status", "--porcelain"))
    if not problems:
        folder = ROOT / "dist"
        subprocess.run([sys.executable, "-m", "uv", "build", "--out-dir", str(folder), str(ROOT)], check=True)
        wheel, sdist = folder / f"knit_yarn-{found}-py3-none-any.whl", folder / f"knit_yarn-{found}.tar.gz"
        with zipfile.ZipFile(wheel) as archive, tarfile.open(sdist) as tar:
            problems = wheel_problems(archive.namelist())
            problems += sdist_problems(name.partition("/")[2] for name in tar.getnames())
    for problem in problems:
        print(f"✗ {problem}", file=sys.stderr)
    if not problems:
        print(
            f"✓ {wheel.name}, {sdist.name} in dist/\n  next: git tag v{found} && git push origin v{found}, then upload dist/"
        )
    return 1 if problems else 0


def version(root: Path) -> str:
    """The one version number."""
    found = re.search(r'^__version__ = "(.+)"$', (root / "knit_core" / "__init__.py").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def source_problems(root: Path, number: str, tags: Collection[str], changes: str) -> list[str]:
    """What is wrong with the sources.

    Args:
        root: the checkout.
        number: the version.
        tags: of the repository.
        changes: what git says is not committed.
    """
    problems = []
    if changes.strip():
        problems.append("something is not committed: git status")
    if "dev" in number:
        problems.append(f"knit_core.__version__ is {number}: a release has no dev in it")
    if f"v{number}" in tags:
        problems.append(f"the tag v{number} is there already")
    top = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    if top is None or top[1] != number:
        problems.append(f"CHANGELOG.md begins with {top[1] if top else 'nothing'}, not with {number}")
    base = re.match(r"[\d.]+\d", number)
    for path, pattern in (
        ("java/pom.xml", r"<version>(.+?)</version>"),
        ("java/src/main/java/knit/am/core/model/Identity.java", r'VERSION = "(.+?)"'),
    ):
        inside = re.search(pattern, (root / path).read_text())
        if base is None or inside is None or inside[1] != base[0]:
            problems.append(f"{path} says {inside[1] if inside else 'no version'}, not {base[0] if base else number}")
    return problems


def wheel_problems(names: Collection[str]) -> list[str]:
    """What is missing from a wheel with these files, or does not belong there."""
    problems = [f"the wheel has no {name}" for name in _WHEEL if name not in names]
    if not any(name.endswith("/licenses/LICENSE") for name in names):
        problems.append("the wheel has no LICENSE")
    foreign = {name.partition("/")[0] for name in names if ".dist-info/" not in name} - {*PACKAGES}
    return problems + [f"the wheel has {name}" for name in sorted(foreign)]


def sdist_problems(names: Iterable[str]) -> list[str]:
    """What is missing from an sdist with these files, or does not belong there."""
    there = {*names}
    problems = [f"the sdist has no {name}" for name in _SDIST if name not in there]
    return problems + [f"the sdist has {name}" for name in sorted(there) if name.endswith(".jar")]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
