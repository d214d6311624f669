"""Building: equal bytes on every machine, nothing built twice, names and lists."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from knit_core.environments import Environment, EnvironmentBuilder, Progress, Stage
from knit_core.model.environment import file_sha256
from tests.unit.environments.conftest import PACKAGES

# The process fails unless the environment is in the cache.
ONLY_CACHED = """
import sys, time
for name in ("rattler", "conda_pack", "isal", "subprocess"):
    sys.modules[name] = None
from knit_core.environments import EnvironmentBuilder
begun = time.process_time()
environment = EnvironmentBuilder(sys.argv[1]).create("again", sys.argv[3:], [sys.argv[2]])
print(environment.key, time.process_time() - begun)
"""


def test_environment_describes_its_archive(built: Environment) -> None:
    assert isinstance(built.archive, Path)
    assert built.archive.stat().st_size == built.size
    assert file_sha256(built.archive) == built.sha256
    assert {package.name for package in built.packages} == {"python", *PACKAGES}
    assert built.python == ".".join(map(str, sys.version_info[:3]))
    assert len(bytes.fromhex(built.key)) == 32


def test_two_builds_from_scratch_give_the_same_bytes(
    built: Environment, difficult_channel: str, tmp_path: Path
) -> None:
    """With another cache folder and another channel folder: neither is in the archive."""
    moved = tmp_path / "moved"
    moved.symlink_to(difficult_channel.removeprefix("file://"))
    other = EnvironmentBuilder(tmp_path / "cache").create("other", PACKAGES[::-1], [moved.as_uri()])
    assert (other.key, other.sha256) == (built.key, built.sha256)
    assert other.archive != built.archive


def test_second_call_builds_nothing(built: Environment, cache: Path, difficult_channel: str) -> None:
    command = [sys.executable, "-c", ONLY_CACHED, str(cache), difficult_channel, *reversed(PACKAGES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    key, seconds = done.stdout.split()
    assert key == built.key
    assert float(seconds) < 0.05  # of processor time; 0.01 s is usual


def test_events_of_a_build_and_of_a_cached_one(difficult_channel: str, tmp_path: Path) -> None:
    builder = EnvironmentBuilder(tmp_path)
    for expected in (Stage.SOLVE, Stage.LINK, Stage.PACK, Stage.DONE), (Stage.DONE,):
        events: list[Progress] = []
        builder.create("bed", ["bed-binary"], [difficult_channel], progress=events.append)
        assert tuple(dict.fromkeys(event.stage for event in events)) == expected
        assert all(str(event) for event in events)


def test_without_python(difficult_channel: str, tmp_path: Path) -> None:
    environment = EnvironmentBuilder(tmp_path).create("bed", ["bed-binary"], [difficult_channel])
    assert environment.python == ""
    assert [package.name for package in environment.packages] == ["bed-binary"]


def test_another_request_with_the_same_solution_shares_the_archive(difficult_channel: str, tmp_path: Path) -> None:
    builder = EnvironmentBuilder(tmp_path)
    first = builder.create("first", ["bed-binary"], [difficult_channel])
    events: list[Progress] = []
    second = builder.create("second", ["bed-binary >=1"], [difficult_channel], progress=events.append)
    assert second.archive == first.archive
    assert Stage.PACK not in {event.stage for event in events}


def test_refresh_solves_again(difficult_channel: str, tmp_path: Path) -> None:
    builder = EnvironmentBuilder(tmp_path)
    first = builder.create("bed", ["bed-binary"], [difficult_channel])
    events: list[Progress] = []
    again = builder.create("bed", ["bed-binary"], [difficult_channel], refresh=True, progress=events.append)
    assert again == first
    assert Stage.SOLVE in {event.stage for event in events}


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_damaged_archive_is_built_again(damage: str, difficult_channel: str, tmp_path: Path) -> None:
    builder = EnvironmentBuilder(tmp_path)
    first = builder.create("bed", ["bed-binary"], [difficult_channel])
    assert isinstance(first.archive, Path)
    if damage == "gone":
        first.archive.unlink()
    else:
        first.archive.write_bytes(first.archive.read_bytes()[:-1])
    assert builder.list() == []
    again = builder.create("bed", ["bed-binary"], [difficult_channel])
    assert again.sha256 == first.sha256 == hashlib.sha256(first.archive.read_bytes()).hexdigest()


def test_names(difficult_channel: str, tmp_path: Path) -> None:
    builder = EnvironmentBuilder(tmp_path)
    builder.create("zebra", ["bed-binary"], [difficult_channel])
    builder.create("ant", ["bed-binary"], [difficult_channel])
    assert [environment.name for environment in builder.list()] == ["ant", "zebra"]
    found = builder.get("zebra")
    assert found is not None
    assert found.name == "zebra"
    assert builder.get("bee") is None


def test_another_platform_can_be_asked_for(difficult_channel: str, tmp_path: Path) -> None:
    """Its Python does not run here, so there is no bytecode. The channel has only noarch packages for it."""
    import make_channel

    other = "linux-ppc64le" if make_channel.machine_subdir() != "linux-ppc64le" else "linux-64"
    folder = tmp_path / "channel"
    plain = make_channel.Package("bed-plain", "1.0", "0", other, entries={"share/x.py": make_channel.Entry(b"x = 1\n")})
    make_channel.write_package(folder, plain)
    make_channel.write_index(folder)
    environment = EnvironmentBuilder(tmp_path / "cache").create("x", ["bed-plain"], [folder.as_uri()], platform=other)
    assert environment.platform == other


def test_package_that_clashes_is_not_kept_for_others(difficult_channel: str, tmp_path: Path) -> None:
    """Both packages have etc/bed.conf: their common result must not appear where only one is installed."""
    alone = EnvironmentBuilder(tmp_path / "alone").create("x", ["bed-binary"], [difficult_channel])
    builder = EnvironmentBuilder(tmp_path / "both")
    builder.create("clash", ["bed-binary", "bed-clash"], [difficult_channel])
    assert builder.create("x", ["bed-binary"], [difficult_channel]).sha256 == alone.sha256


def test_import_is_cheap() -> None:
    heavy = ("rattler", "conda_pack", "pydantic", "requests", "rich", "concurrent.futures", "isal")
    code = f"import sys, knit_core.environments; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
