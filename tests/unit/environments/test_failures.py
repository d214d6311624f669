"""Invalid input and failures: the error names the cause, and nothing incomplete is left or used."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from knit_core.environments import (
    BadEnvironmentName,
    BadPackageSpec,
    ChannelUnreachable,
    DiskFull,
    EnvironmentBuilder,
    EnvironmentFailed,
    EnvironmentInput,
    SolveError,
    SolverMissing,
)
from knit_core.environments.builder import disk_errors
from knit_core.errors import KnitError


def leftovers(cache: Path) -> list[str]:
    """Files of a failed build, without locks and the solver's own caches."""
    kept = {"locks", "packages", "repodata"}
    return [
        str(path.relative_to(cache))
        for path in cache.rglob("*")
        if path.is_file() and path.relative_to(cache).parts[0] not in kept
    ]


@pytest.mark.parametrize("name", ["a/b", "..", "", "a b"])
def test_bad_name_leaves_nothing(name: str, tmp_path: Path, channel: str) -> None:
    with pytest.raises(BadEnvironmentName, match="cannot name an environment"):
        EnvironmentBuilder(tmp_path / "cache").create(name, ["numpy"], [channel])
    assert not (tmp_path / "cache").exists()


def test_no_packages_leaves_nothing(tmp_path: Path, channel: str) -> None:
    with pytest.raises(BadPackageSpec, match="at least one package"):
        EnvironmentBuilder(tmp_path / "cache").create("x", [], [channel])
    assert not (tmp_path / "cache").exists()


def test_unknown_package_is_named_with_the_channels(tmp_path: Path, channel: str) -> None:
    with pytest.raises(SolveError) as caught:
        EnvironmentBuilder(tmp_path).create("x", ["numpy", "no-such-package"], [channel])
    assert "No candidates were found for no-such-package" in str(caught.value)
    assert channel in str(caught.value)
    assert not caught.value.transient
    assert leftovers(tmp_path) == []


def test_missing_dependency_is_named(tmp_path: Path, difficult_channel: str) -> None:
    with pytest.raises(SolveError, match="bed-missing"):
        EnvironmentBuilder(tmp_path).create("x", ["bed-broken"], [difficult_channel])


def test_impossible_version_is_named(tmp_path: Path, channel: str) -> None:
    with pytest.raises(SolveError, match="numpy <1"):
        EnvironmentBuilder(tmp_path).create("x", ["numpy <1"], [channel])


@pytest.mark.parametrize("spec", ["numpy ==", "numpy >=1,,2", "a b c; d"])
def test_specification_that_the_solver_cannot_read(spec: str, tmp_path: Path, channel: str) -> None:
    with pytest.raises((BadPackageSpec, SolveError), match=r"numpy|a b c"):
        EnvironmentBuilder(tmp_path).create("x", [spec], [channel])


def test_refused_connection_is_transient_and_names_the_channel(tmp_path: Path) -> None:
    with (
        socket.socket() as bound
    ):  # bound and not listening: connections are refused, and no other process gets the port
        bound.bind(("127.0.0.1", 0))
        channel = f"http://user:s3cret@127.0.0.1:{bound.getsockname()[1]}/channel"
        with pytest.raises(ChannelUnreachable, match="Connection refused") as caught:
            EnvironmentBuilder(tmp_path).create("x", ["numpy"], [channel])
    assert caught.value.transient
    assert "127.0.0.1" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert leftovers(tmp_path) == []


def test_folder_that_is_no_channel_is_not_transient(tmp_path: Path) -> None:
    with pytest.raises(ChannelUnreachable, match="Is it a channel") as caught:
        EnvironmentBuilder(tmp_path / "cache").create("x", ["numpy"], [str(tmp_path)])
    assert not caught.value.transient


def test_corrupt_package_is_refused(tmp_path: Path, channel: str) -> None:
    folder = tmp_path / "channel"
    shutil.copytree(channel.removeprefix("file://"), folder)
    package = next((folder / "noarch").glob("cloudpickle-*.conda"))
    package.write_bytes(package.read_bytes()[:-2000])
    with pytest.raises(EnvironmentFailed, match="cloudpickle"):
        EnvironmentBuilder(tmp_path / "cache").create("x", ["cloudpickle"], [folder.as_uri()])
    assert leftovers(tmp_path / "cache") == []


@pytest.mark.parametrize("solver", ["conda", "mamba", "micromamba"])
def test_missing_program_is_reported(solver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SolverMissing, match=f"{solver} is not on the PATH"):
        EnvironmentBuilder(tmp_path / "cache", solver=solver).create("x", ["numpy"])


def test_unknown_solver_is_reported(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="'pip' is not a solver: use one of rattler, conda"):
        EnvironmentBuilder(tmp_path, solver="pip")


@pytest.mark.parametrize("kind", ["prefix", "archive", "path"])
def test_ready_environments_have_no_plan_and_no_lock(kind: str, tmp_path: Path) -> None:
    given = EnvironmentInput(**{kind: "/opt/conda"})  # type: ignore[arg-type]
    for call in (EnvironmentBuilder(tmp_path).plan, EnvironmentBuilder(tmp_path).lock):
        with pytest.raises(BadPackageSpec, match=f"{kind}= is an environment already"):
            call(given)


def test_missing_library_is_reported(tmp_path: Path, channel: str) -> None:
    code = (
        "import sys, importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'rattler' else find(name, *rest)\n"
        "from knit_core.environments import EnvironmentBuilder, SolverMissing\n"
        "try:\n    EnvironmentBuilder(sys.argv[1]).create('x', ['numpy'], [sys.argv[2]])\n"
        "except SolverMissing as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), channel], capture_output=True, text=True, check=True
    )
    assert "pip install 'knit-yarn[env]'" in done.stdout


def test_full_disk_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match=f"No space is left for environments in {tmp_path}"), disk_errors(tmp_path):
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")


def test_all_errors_are_of_one_tree() -> None:
    from knit_core.environments import errors

    assert all(issubclass(getattr(errors, name), KnitError) for name in errors.__all__)
