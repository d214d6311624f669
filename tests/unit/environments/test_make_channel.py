"""The tool that makes the local channel. Errors in it would invalidate all other tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import make_channel
import pytest


def test_it_is_built_once(channel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("built again")

    monkeypatch.setattr(make_channel, "_fill", forbidden)
    assert make_channel.build_channel() == channel


def test_command_prints_the_url(channel: str) -> None:
    command = [sys.executable, make_channel.__file__]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == channel


def test_wheel_with_scripts_data_and_conditional_dependencies(tmp_path: Path) -> None:
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    metadata = (
        "Metadata-Version: 2.1\nName: Demo\nVersion: 1.0\n"
        "Requires-Dist: numpy>=1.20\nRequires-Dist: Cloudpickle; extra == 'all'\n"
        "Requires-Dist: cloudpickle; sys_platform == 'win32'\nRequires-Dist: unknown\n"
    )
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("demo/__init__.py", "")
        file.writestr("demo-1.0.dist-info/METADATA", metadata)
        file.writestr("demo-1.0.dist-info/INSTALLER", "pip\n")
        file.writestr("demo-1.0.dist-info/entry_points.txt", "[console_scripts]\ndemo = demo:main [extra]\n")
        file.writestr("demo-1.0.data/scripts/demo-run", "#!python\nprint(1)\n")
        file.writestr("demo-1.0.data/data/share/demo.txt", "x")
    package = make_channel.wheel_package(wheel, "3.11", {"numpy", "cloudpickle"}, "linux-64")
    assert (package.name, package.subdir, package.depends) == ("demo", "noarch", ["python", "numpy >=1.20"])
    assert package.entry_points == ["demo = demo:main"]
    assert set(package.entries) == {
        "site-packages/demo/__init__.py",
        "site-packages/demo-1.0.dist-info/METADATA",
        "site-packages/demo-1.0.dist-info/INSTALLER",
        "site-packages/demo-1.0.dist-info/entry_points.txt",
        "python-scripts/demo-run",
        "share/demo.txt",
    }
    assert package.entries["python-scripts/demo-run"].data.startswith(f"#!{make_channel.PLACEHOLDER}/bin/".encode())
