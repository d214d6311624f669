"""Fixtures of the environment tests: a channel with difficult packages, and builds that several tests use."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import make_channel
import pytest
from make_channel import PLACEHOLDER, Entry, Package

from knit_core.environments import Environment, EnvironmentBuilder
from tests import channel_harness

channel = channel_harness.channel

#: All packages of the channel below that do not conflict.
PACKAGES = ["numpy", "cloudpickle", "bed-tools", "bed-binary"]

LONG_NAME = "share/" + "/".join(["a-folder-with-a-long-name"] * 8) + "/file.txt"


def difficult_packages(subdir: str) -> list[Package]:
    """Contents of real channels that wheels do not have: placeholders in binaries, noarch scripts, clashes, broken files."""
    script = f"#!{PLACEHOLDER}/bin/python -E\nimport sys\nprint(sys.flags.ignore_environment)\n".encode()
    tools = Package("bed-tools", "1.0", "0", "noarch", ["python"], entry_points=["bed-hello = bed_tools:main"])
    tools.entries = {
        "site-packages/bed_tools.py": Entry(b"def main():\n    print('hello from', __file__)\n"),
        "site-packages/bed_broken.py": Entry(b"this is not ( Python\n"),
        "python-scripts/bed-isolated": Entry(script, executable=True, placeholder="text"),
    }
    binary = Package("bed-binary", "2.0", "h1", subdir)
    binary.entries = {
        "lib/bed.bin": Entry(b"\x7fBED\0" + f"{PLACEHOLDER}/share/bed\0tail".encode(), placeholder="binary"),
        "lib/bed.link": Entry(link="bed.bin"),
        "etc/bed.conf": Entry(f"home = {PLACEHOLDER}/share\n".encode(), placeholder="text"),
        "share/empty": Entry(b""),
        LONG_NAME: Entry(b"deep\n"),
    }
    clash = Package("bed-clash", "1.0", "0", subdir, ["bed-binary"])
    clash.entries = {"etc/bed.conf": Entry(b"mine\n"), "share/bed-clash": Entry(b"mine\n")}
    broken = Package("bed-broken", "1.0", "0", subdir, ["bed-missing >=3"])
    return [tools, binary, clash, broken]


@pytest.fixture(scope="session")
def difficult_channel(channel: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The test channel with the difficult packages added."""
    folder = tmp_path_factory.mktemp("channels") / "difficult"
    shutil.copytree(channel.removeprefix("file://"), folder)
    for package in difficult_packages(make_channel.machine_subdir()):
        make_channel.write_package(folder, package)
    make_channel.write_index(folder)
    return folder.as_uri()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of `built`."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def built(cache: Path, difficult_channel: str) -> Environment:
    """An environment with every kind of file."""
    return EnvironmentBuilder(cache).create("bed", PACKAGES, [difficult_channel])


@pytest.fixture(scope="session")
def members(built: Environment) -> Iterator[dict[str, tarfile.TarInfo]]:
    """The members of its archive."""
    with tarfile.open(built.archive) as archive:
        yield {member.name: member for member in archive}
