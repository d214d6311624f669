"""`knit spec …`, and the options that `knit submit` and `knit run` turn into a specification; no cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from knit_core.cli import knit
from knit_core.cli.applications import launch_and_follow as following
from knit_core.cli.shared import show_errors
from knit_core.environments import Environment
from knit_core.environments.cache import Cache, default_cache_dir
from knit_core.spec import ApplicationSpec, RestartPolicy
from knit_core.spec.documents import loads
from knit_core.spec.schema import schema_text

TEXT = """\
parameters: {workers: 2, day: }
name: train
services:
  train: {command: [run, "${param.day}"], instances: "${param.workers}", files: [a.txt]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ApplicationSpec, dict[str, Any]]]:
    """What would have been launched."""
    found: list[tuple[ApplicationSpec, dict[str, Any]]] = []

    def launch(_ctx: click.Context, spec: ApplicationSpec, **options: Any) -> int:
        found.append((spec, options))
        return 0

    for name in ("run", "submit"):
        monkeypatch.setattr(f"knit_core.cli.applications.{name}.launch", launch)
    assert following.launch is not launch
    return found


def run(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    codes: list[int] = []

    @click.command(context_settings={"ignore_unknown_options": True})
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def outer(words: tuple[str, ...]) -> None:
        codes.append(show_errors(knit, args=list(words)))

    done = CliRunner().invoke(outer, list(words))
    assert done.exception is None, done.exception
    return codes[0], done.stdout, done.stderr


def test_check(file: Path) -> None:
    code, out, _err = run("spec", "check", str(file), "--param", "day=x", "--set", "services.train.instances=5")
    assert (code, out) == (0, f"✓ {file}   train: train × 5\n")
    wrong = file.with_name("wrong.yaml")
    wrong.write_text(TEXT.replace("instances", "instnces").replace("name:", "nmae:"))
    code, out, err = run("spec", "check", str(file), str(wrong), str(file.parent / "none.yaml"))
    assert (code, out) == (1, "")
    assert err.splitlines()[:4] == [
        f"✗ {file}:1: the parameter day has no default: give it a value",
        f"✗ {wrong}:1: the parameter day has no default: give it a value",
        f"✗ {wrong}:2: nmae: unknown key; did you mean 'name'?",
        f"✗ {wrong}:4: services.train.instnces: unknown key; did you mean 'instances'?",
    ]
    assert "none.yaml: does not exist" in err.splitlines()[4]


def test_show_is_complete_and_reads_back(file: Path) -> None:
    code, out, _err = run("spec", "show", str(file), "-p", "day=it's $HOME")
    spec = loads(out)
    train = spec.services["train"]
    assert (code, train.instances, train.memory, train.command) == (0, 2, 1024, "run 'it'\"'\"'s $HOME'")
    assert train.files[0].source == str(file.parent / "a.txt")
    code, out, _err = run("spec", "show", str(file), "-p", "day=it's $HOME", "--json")
    assert (code, loads(out, kind="json")) == (0, spec)
    assert set(json.loads(out)) == set(ApplicationSpec.model_fields)


def test_schema() -> None:
    assert run("spec", "schema") == (0, schema_text(), "")


def test_submit(file: Path, launched: list[Any]) -> None:
    words = ["--param", "day=2026-11-23", "--param", "workers=8", "--queue", "science", "--key", "k", "--detach"]
    words += [
        "--set",
        "services.train.memory=2 GiB",
        "--set",
        "services.train.variables.V=1.10",
        "--set",
        "tags=[a, b]",
    ]
    assert run("submit", str(file), *words)[0] == 0
    ((spec, options),) = launched
    train = spec.services["train"]
    assert (spec.name, spec.queue, spec.tags, train.instances, train.memory) == (
        "train",
        "science",
        ("a", "b"),
        8,
        2048,
    )
    assert (train.command, train.variables) == ("run 2026-11-23", {"V": "1.10"})
    assert options == {"key": "k", "detach": True, "keep": False, "dry_run": False}


def test_submit_with_mistakes(file: Path, launched: list[Any]) -> None:
    code, _out, err = run("submit", str(file), "--param", "day=x", "--param", "worker=1", "--set", "que=x")
    assert code == 1
    assert f"{file}:1: a value was given for the parameter 'worker': did you mean 'workers'?" in err
    assert "given by the caller: que: unknown key; did you mean 'queue'?" in err
    assert run("submit", str(file), "--param", "day")[0] == 2
    assert run("submit", str(file), "--set", "queue")[0] == 2
    assert launched == []


def test_run(launched: list[Any]) -> None:
    words = [
        "-n",
        "2",
        "--gpus",
        "1",
        "--label",
        "ssd",
        "--restart",
        "on-failure",
        "--lifetime",
        "2 h",
        "--priority",
        "3",
    ]
    words += ["--tag", "a", "--tag", "b", "--attempts", "4", "-e", "A=b=c", "-f", "x.txt", "--queue", "q", "--dry-run"]
    assert run("run", *words, "--", "echo", "$HOME")[0] == 0
    ((spec, options),) = launched
    main = spec.services["main"]
    assert (main.instances, main.gpus, main.node_label, main.restart.policy) == (2, 1, "ssd", RestartPolicy.ON_FAILURE)
    assert (spec.lifetime, spec.priority, spec.tags, spec.attempts, spec.queue) == (7200.0, 3, ("a", "b"), 4, "q")
    assert (spec.name, main.command, main.variables) == ("echo", "echo '$HOME'", {"A": "b=c"})
    assert [file.source for file in main.files] == ["x.txt"]
    assert options == {"key": None, "detach": False, "keep": False, "dry_run": True}


def test_run_with_nothing_but_a_command(launched: list[Any]) -> None:
    assert run("run", "--", "echo $HOME")[0] == 0
    ((spec, _options),) = launched
    assert (spec.services["main"].command, spec.attempts, spec.model_fields_set) == (
        "echo $HOME",
        2,
        {"services", "name", "tags"},
    )


def test_run_with_an_environment(launched: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By its name, as knit env list shows it; by an archive; by a folder that all nodes have."""
    archive = tmp_path / "made" / "environment.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(b"packed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = Environment("mine", archive, "ab" * 32, sha256="cd" * 32, size=6, platform="linux-64", python="3.11.7")
    Cache(default_cache_dir()).remember_name(made)
    for given in ("mine", "abab", str(archive), "hdfs:///e/x.zip", "/opt/python"):
        code, _out, err = run("run", "--env", given, "--", "x")
        assert code == 0, err
    found = [spec.services["main"].environment for spec, _options in launched]
    assert [(each.archive, each.kind) for each in found] == [
        (str(archive), "archive"),
        (str(archive), "archive"),
        (str(archive), "archive"),
        ("hdfs:///e/x.zip", "archive"),
        ("/opt/python", "path"),
    ]
    assert found[0].sha256 == made.sha256
    code, _out, err = run("run", "--env", "mien", "--", "x")
    assert (code, "No environment 'mien'" in err, "mine" in err, len(launched)) == (1, True, True, 5)


def test_run_with_variables_of_the_caller(launched: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "a=b $c")
    assert run("run", "-e", "MINE", "-e", "EMPTY=", "-e", "OTHER=1=2", "--", "x")[0] == 0
    ((spec, _options),) = launched
    assert spec.services["main"].variables == {"MINE": "a=b $c", "EMPTY": "", "OTHER": "1=2"}
    for wrong in ("MIEN", "=x", ""):
        code, _out, err = run("run", "-e", wrong, "--", "x")
        assert (code, "-e" in err) == (2, True)
    assert len(launched) == 1


def test_run_with_no_container_is_refused(launched: list[Any]) -> None:
    for number in ("0", "-1"):
        code, _out, err = run("run", "-n", number, "--", "x")
        assert (code, "x>=1" in err) == (2, True), err
    assert launched == []


def test_run_with_a_mistake(launched: list[Any]) -> None:
    code, _out, err = run("run", "--restart", "somtimes", "--memory", "lots", "--", "x")
    assert code == 1
    assert "services.main.restart.policy: should be 'never', 'on-failure' or 'always', not 'somtimes'" in err
    assert "services.main.memory" in err
    assert launched == []
