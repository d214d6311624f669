"""What the release script refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import release


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout that can be released as 1.0.0."""
    for name in ("java/pom.xml", "java/src/main/java/knit/am/core/model/Identity.java", "knit_core/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(release.ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.0.0\n")
    return tmp_path


def test_a_release_that_is_complete(root: Path) -> None:
    assert release.source_problems(root, "1.0.0", ["v0.9.0"], "") == []
    assert release.version(root) == __import__("knit_core").__version__


@pytest.mark.parametrize(
    ("number", "tags", "changes", "told"),
    [
        ("1.0.0", ["v1.0.0"], "", ["the tag v1.0.0 is there already"]),
        ("1.0.0", [], " M a.py", ["not committed"]),
        ("1.0.0.dev0", [], "", ["has no dev in it", "CHANGELOG.md begins with 1.0.0, not with 1.0.0.dev0"]),
        (
            "1.1.0",
            [],
            "",
            ["CHANGELOG.md begins", "pom.xml says 1.0.0, not 1.1.0", "Identity.java says 1.0.0, not 1.1.0"],
        ),
    ],
)
def test_what_is_refused(root: Path, number: str, tags: list[str], changes: str, told: list[str]) -> None:
    problems = release.source_problems(root, number, tags, changes)
    assert len(problems) == len(told)
    assert all(text in problem for text, problem in zip(told, problems, strict=True))


def test_the_present_sources_have_one_version() -> None:
    base = release.version(release.ROOT).partition(".dev")[0]
    problems = release.source_problems(release.ROOT, base, [], "")
    assert [problem for problem in problems if "CHANGELOG" not in problem] == []


def test_files_that_are_missing_or_do_not_belong_there() -> None:
    whole = [*release._WHEEL, "knit_yarn-1.0.0.dist-info/licenses/LICENSE"]
    assert release.wheel_problems(whole) == []
    assert release.wheel_problems([*whole[1:], "tests/x.py"]) == [
        "the wheel has no knit/py.typed",
        "the wheel has tests",
    ]
    assert release.sdist_problems(release._SDIST) == []
    assert release.sdist_problems([*release._SDIST[1:], "knit_core/jars/knit-am.jar"]) == [
        "the sdist has no java/pom.xml",
        "the sdist has knit_core/jars/knit-am.jar",
    ]
