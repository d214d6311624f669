"""`knit env` in a terminal and with JSON output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from knit_core.cli.environments.env import env
from knit_core.environments import Environment


def knit_env(cache: Path, *arguments: str) -> Result:
    command, *rest = arguments
    return CliRunner().invoke(env, [command, "--cache-dir", str(cache), *rest])


def test_create_list_show(difficult_channel: str, tmp_path: Path) -> None:
    assert "No environments yet" in knit_env(tmp_path, "list").output
    arguments = ("create", "bed", "bed-binary", "-c", difficult_channel)
    first = knit_env(tmp_path, *arguments)
    assert first.exit_code == 0, first.output
    assert "environment   bed  1 package" in first.output
    assert "packed now" in first.output
    assert "in the cache since" in knit_env(tmp_path, *arguments).output

    environment = Environment.from_json(knit_env(tmp_path, *arguments, "--json").output)
    listed = json.loads(knit_env(tmp_path, "list", "--json").output)
    assert [Environment.from_dict(document) for document in listed] == [environment]
    assert environment.key[:12] in knit_env(tmp_path, "list").output
    for name in ("bed", environment.key[:8]):
        shown = knit_env(tmp_path, "show", name).output
        assert str(environment.archive) in shown
        assert "bed-binary  2.0  h1  " in shown
        assert "kB" in shown.rpartition("bed-binary")[2]
    assert Environment.from_json(knit_env(tmp_path, "show", "bed", "--json").output) == environment


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "a/b", "numpy"), "'a/b' cannot name an environment"),
        (("create", "x"), "at least one package"),
        (("create", "x", "numpy", "-c", "/nowhere"), "Is it a channel?"),
        (("create", "x", "--prefix", "/nowhere"), "is not a conda environment"),
        (("create", "x", "--file", "gone.yml"), "gone.yml does not exist"),
        (("create", "x", "--venv", "/nowhere"), "does not exist"),
        (("show", "nobody"), "No environment 'nobody'"),
    ],
)
def test_errors_are_a_line_with_what_to_do(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    result = knit_env(tmp_path, *arguments)
    assert result.exit_code == 1
    assert said in result.output
    assert "✗" in result.output
    assert "Traceback" not in result.output


def test_prefix_and_packages_exclude_each_other(tmp_path: Path) -> None:
    assert knit_env(tmp_path, "create", "x", "numpy", "--prefix", "/opt/conda").exit_code == 2


def test_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "knit_core.cli.environments.env", "list", "--json", "--cache-dir", str(tmp_path)]
    assert json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) == []


def test_dry_run_builds_nothing(difficult_channel: str, tmp_path: Path) -> None:
    arguments = ("create", "bed", "bed-binary", "bed-tools", "-c", difficult_channel, "--dry-run")
    said = knit_env(tmp_path, *arguments).output
    assert "bed: 3 packages for linux-64, would be built; to download" in said
    plan = json.loads(knit_env(tmp_path, *arguments, "--json").output)
    assert plan["built"] is None
    assert {package["name"] for package in plan["packages"]} == {"bed-binary", "bed-tools", "python"}
    assert plan["download"] == sum(package["download"] for package in plan["packages"]) > 1_000_000
    assert not (tmp_path / "environments").exists()
    knit_env(tmp_path, "create", "bed", "bed-binary", "-c", difficult_channel)
    said = knit_env(tmp_path, "create", "bed", "bed-binary", "-c", difficult_channel, "--dry-run").output
    assert "in the cache: /" in said


def test_lock_check_and_create_from_it(difficult_channel: str, tmp_path: Path) -> None:
    lock = tmp_path / "conda-lock.yml"
    request = ("bed-binary", "-c", difficult_channel)
    made = knit_env(tmp_path / "a", "lock", "bed", *request, "-o", str(lock))
    assert made.exit_code == 0, made.output
    assert knit_env(tmp_path / "a", "lock", "bed", *request).stdout == lock.read_text()
    assert knit_env(tmp_path / "a", "lock", "bed", *request, "-o", str(lock), "--check").exit_code == 0
    changed = knit_env(tmp_path / "a", "lock", "bed", *request, "bed-tools", "-o", str(lock), "--check")
    assert changed.exit_code == 1
    assert "does not answer the request any more" in changed.output
    assert knit_env(tmp_path / "a", "lock", "bed", *request, "--check").exit_code == 2
    first = Environment.from_json(knit_env(tmp_path / "a", "create", "bed", *request, "--json").output)
    again = Environment.from_json(knit_env(tmp_path / "b", "create", "bed", "-f", str(lock), "--json").output)
    assert first.sha256 == again.sha256
    inside = json.loads(knit_env(tmp_path / "b", "show", "bed", "--lock").output)
    assert [package["name"] for package in inside["packages"]] == ["bed-binary"]


def test_show_the_largest(built: Environment, cache: Path) -> None:
    shown = knit_env(cache, "show", "bed", "-n", "2").output
    assert "numpy" in shown
    assert "python" in shown
    assert "cloudpickle" not in shown


def test_pack_copies_the_archive(built: Environment, tmp_path: Path) -> None:
    folder = tmp_path / "science"
    folder.mkdir()
    subprocess.run(["tar", "-xzf", str(built.archive), "-C", str(folder)], check=True)
    output = tmp_path / "science.tar.gz"
    packed = knit_env(tmp_path / "cache", "pack", str(folder), "-o", str(output), "--json")
    environment = Environment.from_json(packed.output)
    assert environment.name == "science"
    assert output.read_bytes() == Path(environment.archive).read_bytes()
    names = subprocess.run(["tar", "-tzf", str(output)], capture_output=True, text=True, check=True).stdout.split()
    assert "conda-meta/knit.lock" in names


def test_kinds_that_need_no_build(tmp_path: Path) -> None:
    made = Environment.from_json(knit_env(tmp_path, "create", "x", "--path", "/opt/conda", "--json").output)
    assert (made.name, made.kind, made.archive) == ("x", "path", "/opt/conda")
    url = "hdfs:///envs/science.tar.gz"
    assert Environment.from_json(knit_env(tmp_path, "create", "x", "--archive", url, "--json").output).archive == url
    assert knit_env(tmp_path, "create", "x", "numpy", "--path", "/opt/conda").exit_code == 2


def test_conda_environment_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from knit_core.environments.inputs.prefix import prefix_folder

    folder = tmp_path / "envs" / "science"
    (folder / "conda-meta").mkdir(parents=True)
    assert prefix_folder("science", {"CONDA_ENVS_PATH": str(tmp_path / "envs")}) == folder
    assert prefix_folder("science", {"MAMBA_ROOT_PREFIX": str(tmp_path)}) == folder
    assert prefix_folder("science", {"CONDA_EXE": str(tmp_path / "bin" / "conda")}) == folder
    monkeypatch.setenv("CONDA_ENVS_PATH", str(tmp_path / "envs"))
    refused = knit_env(tmp_path / "cache", "create", "x", "--prefix", "nobodys")
    assert refused.exit_code == 1
    assert f"No conda environment is called 'nobodys' (looked in {tmp_path}/envs" in refused.output
