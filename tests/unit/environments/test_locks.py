"""Lock files: written, built to the same bytes, read from other tools, refused if they are invalid."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from knit_core.environments import (
    BadLock,
    ChannelUnreachable,
    Environment,
    EnvironmentBuilder,
    EnvironmentFailed,
    EnvironmentInput,
    PlatformMismatch,
)
from knit_core.environments.inputs.locks.lock import Lock, conda_record
from tests.wheel_harness import served_folder

PACKAGES = ["bed-binary", "bed-tools", "cloudpickle"]


@pytest.fixture(scope="module")
def locked(difficult_channel: str, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Environment]:
    """The lock of a request with conda and pip packages, and what the request gave."""
    builder = EnvironmentBuilder(tmp_path_factory.mktemp("first"))
    path = tmp_path_factory.mktemp("locks") / "conda-lock.yml"
    wanted = EnvironmentInput(PACKAGES, [difficult_channel], ["bed-beta"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_NO_INDEX", "1")
        patch.setenv("UV_FIND_LINKS", str(wheels))
        path.write_text(builder.lock(wanted))
        return path, builder.create("first", PACKAGES, [difficult_channel], pip=["bed-beta"])


def explicit(lock: Path, digest: Callable[[str], str] = lambda digest: digest) -> str:
    """One package of a lock as `conda list --explicit` prints it."""
    packages = [each for each in yaml.safe_load(lock.read_text())["package"] if each["name"] == "bed-binary"]
    lines = [f"{each['url']}#{digest(each['hash']['sha256'])}\n" for each in packages]
    return "# platform: linux-64\n@EXPLICIT\n" + "".join(lines)


def test_replayed_in_another_cache_it_gives_the_same_bytes(locked: tuple[Path, Environment], tmp_path: Path) -> None:
    path, first = locked
    again = EnvironmentBuilder(tmp_path).create("again", file=path)
    assert (again.key, again.sha256) == (first.key, first.sha256)
    assert again.packages == first.packages


def test_it_is_what_conda_lock_reads(locked: tuple[Path, Environment]) -> None:
    document = yaml.safe_load(locked[0].read_text())
    assert document["version"] == 1
    assert set(document["metadata"]) == {"content_hash", "channels", "platforms", "sources"}
    required = {"name", "version", "manager", "platform", "dependencies", "url", "hash", "category", "optional"}
    assert all(set(each) == required for each in document["package"])
    managers = {each["name"]: each["manager"] for each in document["package"]}
    assert (managers["bed-binary"], managers["bed-alpha"]) == ("conda", "pip")


def test_the_check_needs_no_network_and_sees_a_changed_request(
    locked: tuple[Path, Environment], difficult_channel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = EnvironmentBuilder(tmp_path)
    builder.check_lock(locked[0], EnvironmentInput(PACKAGES[::-1], [difficult_channel], ["bed-beta"]))
    for changed in (
        EnvironmentInput([*PACKAGES, "numpy"], [difficult_channel], ["bed-beta"]),
        EnvironmentInput(PACKAGES, [difficult_channel], ["bed-beta", "six"]),
        EnvironmentInput(PACKAGES, None, ["bed-beta"]),
    ):
        with pytest.raises(BadLock, match="does not answer the request any more"):
            builder.check_lock(locked[0], changed)
    assert [*tmp_path.iterdir()] == []


def test_explicit_list(locked: tuple[Path, Environment], difficult_channel: str, tmp_path: Path) -> None:
    listed = tmp_path / "spec.txt"
    listed.write_text(explicit(locked[0]))
    builder = EnvironmentBuilder(tmp_path / "cache")
    replayed = builder.create("x", file=listed)
    assert replayed.sha256 == builder.create("x", ["bed-binary"], [difficult_channel]).sha256


def test_pixi_lock(locked: tuple[Path, Environment], difficult_channel: str, tmp_path: Path) -> None:
    """Written by py-rattler, in a process of its own because it may crash at its exit."""
    path = tmp_path / "pixi.lock"
    subprocess.run(
        [sys.executable, "-c", _WRITE_PIXI, difficult_channel, str(path), "bed-binary", "bed-tools"], check=True
    )
    builder = EnvironmentBuilder(tmp_path / "cache")
    environment = builder.create("x", file=path)
    assert environment.sha256 == builder.create("x", ["bed-binary"], [difficult_channel]).sha256
    with pytest.raises(PlatformMismatch, match="it is for linux-64"):
        builder.create("x", file=path, platform="linux-s390x")
    other = builder.create("y", file=f"{path}:extra")
    assert "bed-tools" in {package.name for package in other.packages}
    assert "bed-binary" not in {package.name for package in other.packages}
    with pytest.raises(BadLock, match=r"pixi\.lock has no environment none: it has default, extra"):
        builder.create("y", file=f"{path}:none")


_WRITE_PIXI = """
import asyncio, os, sys, rattler
from pathlib import Path
from rattler.lock import LockChannel, LockPlatform
async def main():
    platform = LockPlatform("linux-64")
    lock = rattler.LockFile([platform])
    for name, package in zip(("default", "extra"), sys.argv[3:]):
        lock.set_channels(name, [LockChannel(sys.argv[1])])
        for record in await rattler.solve([sys.argv[1]], [package], platforms=["linux-64", "noarch"]):
            lock.add_conda_package(name, platform, record)
    lock.to_path(Path(sys.argv[2]))
asyncio.run(main())
os._exit(0)
"""


@pytest.mark.parametrize("scheme", ["file", "http"])
@pytest.mark.parametrize("in_cache", [False, True])
def test_wrong_digest_is_refused(
    in_cache: bool, scheme: str, locked: tuple[Path, Environment], difficult_channel: str, tmp_path: Path
) -> None:
    builder = EnvironmentBuilder(tmp_path / "cache")
    with served_folder(Path(difficult_channel.removeprefix("file://"))) as url:
        channel = url if scheme == "http" else difficult_channel
        listed = tmp_path / "spec.txt"
        listed.write_text(explicit(locked[0], lambda digest: digest[::-1]).replace(difficult_channel, channel))
        if in_cache:
            builder.create("x", ["bed-binary"], [channel])
        with pytest.raises(BadLock, match="not the one") as caught:
            builder.create("y", file=listed)
    assert not caught.value.transient
    assert builder.get("y") is None


def test_channel_whose_files_are_not_what_it_says(difficult_channel: str, tmp_path: Path) -> None:
    folder = tmp_path / "channel"
    shutil.copytree(difficult_channel.removeprefix("file://"), folder)
    repodata = next(folder.glob("linux-*/repodata.json"))
    document = json.loads(repodata.read_text())
    package = next(name for name in document["packages.conda"] if name.startswith("bed-binary"))
    document["packages.conda"][package]["sha256"] = "0" * 64
    repodata.write_text(json.dumps(document))
    with served_folder(folder) as url:
        for number, channel in enumerate((url, folder.as_uri())):
            builder = EnvironmentBuilder(tmp_path / f"cache{number}")
            with pytest.raises(BadLock, match="not the one"):
                builder.create("x", ["bed-binary"], [channel])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("conda-lock.yml", "version: 1\npackage: [\n", "is not YAML"),
        ("conda-lock.yml", "version: 4\npackage: []\n", "version 4"),
        ("conda-lock.yml", "version: 1\nmetadata: {}\npackage: []\n", "platforms"),
        ("conda-lock.yml", "version: 1\nmetadata: {platforms: [linux-64]}\npackage: []\n", "has no packages"),
        ("pylock.toml", "lock-version = [", "is not TOML"),
        ("pylock.toml", 'lock-version = "9.0"\ncreated-by = "x"\npackages = []\n', "version 9.0 is not supported"),
        ("pylock.toml", 'lock-version = "1.0"\n[[packages]]\nversion = "1"\n', "pylock.toml as PEP 751"),
        (
            "pylock.toml",
            'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "six"\nwheels = [{url = "https://h/six.whl"}]\n',
            "Missing required value in 'packages[0].wheels[0].hashes'",
        ),
        (
            "pylock.toml",
            'lock-version = "1.0"\ncreated-by = "x"\nrequires-python = "<3"\npackages = []\n',
            "does not fit Python",
        ),
        ("spec.txt", "@EXPLICIT\nhttps://h/linux-64/numpy.conda#" + "0" * 64, "not the address of a conda package"),
        ("spec.txt", "@EXPLICIT\nhttps://u:s3cret@h/t/tok/linux-64/numpy-1-0.conda", "has no digest"),
        ("spec.txt", "@EXPLICIT\nhttps://h/linux-64/numpy-1-0.conda#12zz", "'12zz' is not a digest"),
        ("pixi.lock", "version: banana", "pixi.lock"),
    ],
)
def test_broken_files_are_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(EnvironmentFailed, match=re.escape(said)) as caught:
        EnvironmentBuilder(tmp_path / "cache").create("x", file=path, platform="linux-64")
    assert "s3cret" not in str(caught.value)
    assert "tok/" not in str(caught.value)
    assert not (tmp_path / "cache" / "environments").exists()


def test_lock_for_another_platform(locked: tuple[Path, Environment], tmp_path: Path) -> None:
    listed = tmp_path / "spec.txt"
    listed.write_text(explicit(locked[0]))
    for path in (locked[0], listed):
        with pytest.raises(PlatformMismatch, match="is for linux-64, and the environment for linux-aarch64"):
            EnvironmentBuilder(tmp_path / "cache").create("x", file=path, platform="linux-aarch64")


def test_lock_of_another_python_of_the_machine(tmp_path: Path, index: Path) -> None:
    builder = EnvironmentBuilder(tmp_path / "cache")
    path = tmp_path / "pylock.toml"
    text = builder.lock(EnvironmentInput(pip=["bed-alpha"]))
    path.write_text(re.sub('python-digest = ".*"', f'python-digest = "{"0" * 64}"', text))
    with pytest.raises(BadLock, match="another build of it"):
        builder.create("x", file=path)


def test_credentials_come_from_the_channels_that_are_named(tmp_path: Path) -> None:
    url = "https://conda.example.org/t/s3cret/private"
    record = conda_record(f"{url.replace('s3cret', '***')}/linux-64/numpy-1-0.conda", "0" * 64, tmp_path / "x")
    lock = Lock("linux-64", (record,)).with_channels([url])
    assert lock.records[0].source == f"{url}/linux-64/numpy-1-0.conda"
    assert "s3cret" not in lock.solution.lock().decode() + lock.key + repr(lock)


def test_missing_package_is_named(locked: tuple[Path, Environment], tmp_path: Path) -> None:
    listed = tmp_path / "spec.txt"
    listed.write_text(explicit(locked[0]).replace("bed-binary-2.0", "bed-binary-7.0"))
    with pytest.raises((ChannelUnreachable, EnvironmentFailed), match=r"bed-binary-7\.0"):
        EnvironmentBuilder(tmp_path / "cache").create("x", file=listed)


def test_every_environment_carries_its_lock(locked: tuple[Path, Environment], tmp_path: Path) -> None:
    """And a container can read it."""
    environment = locked[1]
    subprocess.run(["tar", "-xzf", str(environment.archive), "-C", str(tmp_path)], check=True)
    code = "import json, knit_container; print(json.dumps(knit_container.environment()))"
    repository = str(Path(__file__).parents[3])
    env = {"CONDA_PREFIX": str(tmp_path), "PYTHONPATH": repository}
    done = subprocess.run([tmp_path / "bin/python", "-c", code], env=env, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["prefix"] == str(tmp_path)
    assert {(p["name"], p["version"]) for p in told["packages"]} == {(p.name, p.version) for p in environment.packages}
