"""Packages of an index: on a copy of this machine's Python, on conda packages, from requirement files; and errors."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from knit_core.environments import (
    BadEnvironmentFile,
    BadLock,
    BadPackageSpec,
    ChannelUnreachable,
    Environment,
    EnvironmentBuilder,
    EnvironmentFailed,
    EnvironmentInput,
    PlatformMismatch,
    Progress,
    SolveError,
    Stage,
)
from knit_core.environments.solve.uv import indexes
from tests.unit.environments.unpacking import run, unpacked
from tests.wheel_harness import make_wheel, served

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
SITE = f"lib/python{MINOR}/site-packages"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder in which Python was packed before."""
    return tmp_path_factory.mktemp("pip-cache")


@pytest.fixture(scope="module")
def light(shared: Path, wheels: Path) -> Environment:
    """Two packages of an index on this machine's Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_NO_INDEX", "1")
        patch.setenv("UV_FIND_LINKS", str(wheels))
        return EnvironmentBuilder(shared).create("light", pip=["bed-beta", "bed-alpha"])


def versions(environment: Environment) -> dict[str, str]:
    return {package.name: package.version for package in environment.packages}


def names(environment: Environment) -> set[str]:
    with tarfile.open(environment.archive) as archive:
        return set(archive.getnames())


def test_it_runs_anywhere_with_its_own_python(light: Environment) -> None:
    assert versions(light) == {
        "python": ".".join(map(str, sys.version_info[:3])),
        "bed-alpha": "2.0",
        "bed-beta": "1.0",
    }
    with unpacked(light) as prefix:
        code = "import sys, bed_beta, bed_alpha; print(sys.prefix); print(bed_alpha.__file__); print(bed_alpha.version)"
        where, file, version = run(prefix, "python", "-c", code).splitlines()
        assert (where, version) == (str(prefix), "2.0")
        assert file.startswith(str(prefix))
        assert run(prefix, "bed-alpha") == "bed-alpha"
        run(prefix, "python", "-c", "import ssl, sqlite3, ctypes, hashlib, multiprocessing, lzma, bz2, zlib")


def test_its_python_needs_nothing_of_the_machine_but_the_c_library(light: Environment) -> None:
    with unpacked(light) as prefix:
        code = (
            "import ssl, sqlite3, ctypes, lzma, bz2, zlib\n"
            "print(*{line[line.index('/'):].strip() for line in open('/proc/self/maps') if '.so' in line}, sep='\\n')"
        )
        loaded = run(prefix, "python", "-c", code).splitlines()
        foreign = {Path(path).name.split(".")[0] for path in loaded if not path.startswith(str(prefix))}
        assert any("libssl" in path for path in loaded)
        assert foreign <= {"libc", "libm", "ld-linux-x86-64", "ld-linux-aarch64", "libdl", "libpthread", "libutil"}


def test_bytecode_scripts_and_notes_are_those_of_any_place(light: Environment, shared: Path) -> None:
    found = names(light)
    assert f"{SITE}/bed_alpha/__pycache__/__init__.cpython-{MINOR.replace('.', '')}.pyc" in found
    assert not [name for name in found if name.endswith(("direct_url.json", "REQUESTED", "uv_cache.json"))]
    with unpacked(light) as prefix:
        assert (prefix / "bin" / "bed-alpha").read_text().startswith("#!/usr/bin/env python\n")
        traces = [str(shared).encode(), sys.base_prefix.encode() + b"/lib"]
        for path in prefix.rglob("*"):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                assert not [trace for trace in traces if trace in data], path


def test_the_same_again_builds_nothing(light: Environment, shared: Path) -> None:
    events: list[Progress] = []
    again = EnvironmentBuilder(shared).create("again", pip=["bed-alpha", "bed-beta"], progress=events.append)
    assert again.sha256 == light.sha256
    assert [event.stage for event in events] == [Stage.DONE]


@pytest.mark.race
def test_two_at_once_build_once(index: Path, shared: Path) -> None:
    code = (
        "import sys\nfrom knit_core.environments import EnvironmentBuilder, Stage\nstages = set()\n"
        "made = EnvironmentBuilder(sys.argv[1]).create('x', pip=['bed-old'], progress=lambda e: stages.add(e.stage))\n"
        "print(made.sha256, Stage.PACK in stages)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(shared)], stdout=subprocess.PIPE, text=True) for _ in "ab"
    ]
    results = [process.communicate(timeout=60)[0].split() for process in both]
    assert results[0][0] == results[1][0]
    assert sorted(packed for _, packed in results) == ["False", "True"]


def test_what_conda_brought_stays_though_the_index_has_a_newer_one(index: Path, channel: str, shared: Path) -> None:
    builder = EnvironmentBuilder(shared)
    environment = builder.create("stays", ["cloudpickle"], [channel], pip=["bed-pickler"])
    assert {p.name: p.build for p in environment.packages if p.name in {"cloudpickle", "bed-pickler"}} == {
        "cloudpickle": "pypi_0",
        "bed-pickler": "pypi",
    }
    assert versions(environment)["cloudpickle"] != "99.0"
    (index.parent / "requirements.txt").write_text("bed-pickler\n")
    from_file = builder.create("file", file=index.parent / "requirements.txt", channels=[channel])
    assert versions(from_file)["cloudpickle"] == "99.0"  # no conda package of that name was asked for here
    with pytest.raises(SolveError, match=r"(?s)bed-picky.*cloudpickle"):
        builder.create("picky", ["cloudpickle"], [channel], pip=["bed-picky"])


def test_what_is_asked_for_by_name_replaces_what_conda_brought(index: Path, channel: str, shared: Path) -> None:
    """The kept package that other environments share does not change."""
    builder = EnvironmentBuilder(shared)
    plain = builder.create("plain", ["cloudpickle"], [channel])
    environment = builder.create("both", ["cloudpickle"], [channel], pip=["bed-beta", "cloudpickle>=90"])
    assert [(p.version, p.build) for p in environment.packages if p.name == "cloudpickle"][-1] == ("99.0", "pypi")
    with unpacked(environment) as prefix:
        code = "import cloudpickle, bed_alpha; print(cloudpickle.version, bed_alpha.version)"
        assert run(prefix, "python", "-c", code) == "99.0 2.0"
        assert len([*prefix.glob(f"{SITE}/cloudpickle-*.dist-info")]) == 1
    assert isinstance(plain.archive, Path)
    plain.archive.unlink()
    assert builder.create("plain", ["cloudpickle"], [channel]).sha256 == plain.sha256


def test_requirements_with_an_included_file(index: Path, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("bed-alpha<2\n")
    (tmp_path / "requirements.txt").write_text("-r more.txt\nbed-beta  # and what it needs\n")
    builder = EnvironmentBuilder(shared)
    first = builder.create("x", file=tmp_path / "requirements.txt")
    assert versions(first)["bed-alpha"] == "1.0"
    (tmp_path / "more.txt").write_text("bed-alpha>1\n")
    assert versions(builder.create("x", file=tmp_path / "requirements.txt"))["bed-alpha"] == "2.0"


def test_project_and_its_lock(index: Path, shared: Path, tmp_path: Path) -> None:
    project = '[project]\nname = "mine"\nversion = "0"\nrequires-python = ">=3.10"\ndependencies = ["bed-old"]\n'
    (tmp_path / "pyproject.toml").write_text(project)
    builder = EnvironmentBuilder(shared)
    from_project = builder.create("x", file=tmp_path / "pyproject.toml")
    assert versions(from_project)["bed-alpha"] == "1.0"
    from uv import find_uv_bin

    subprocess.run([find_uv_bin(), "lock", "--quiet", "--python", sys.executable], cwd=tmp_path, check=True)
    assert builder.create("x", file=tmp_path / "uv.lock").sha256 == from_project.sha256


@pytest.mark.parametrize(
    ("pip", "said"),
    [
        (["bed-none"], "bed-none was not found"),
        (["bed-alpha==7"], "bed-alpha==7"),
        (["bed-old", "bed-alpha>=2"], "bed-old"),
    ],
)
def test_no_solution_in_uvs_words(pip: list[str], said: str, index: Path, shared: Path) -> None:
    with pytest.raises(SolveError, match=said) as caught:
        EnvironmentBuilder(shared).create("x", pip=pip)
    assert not caught.value.transient
    assert [*(shared / "work").iterdir()] == []


@pytest.mark.parametrize("pip", ["bed-alpha", ["-e ."], [""], ["--index-url=http://x"]])
def test_what_is_no_requirement(pip: list[str], tmp_path: Path) -> None:
    with pytest.raises(BadPackageSpec):
        EnvironmentBuilder(tmp_path / "cache").create("x", pip=pip)
    assert not (tmp_path / "cache").exists()


def test_editable_requirement_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six\n-e ../mine\n")
    with pytest.raises(BadEnvironmentFile, match=r"line 2: '-e ../mine'.*venv=True"):
        EnvironmentBuilder(tmp_path / "cache").create("x", file=tmp_path / "requirements.txt")


def test_another_platform_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlatformMismatch, match="does not run here"):
        EnvironmentBuilder(tmp_path).create("x", pip=["six"], platform="linux-s390x")


def test_unreachable_index_is_transient(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:  # bound and not listening: connections are refused
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://user:s3cret@127.0.0.1:{bound.getsockname()[1]}/simple")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        with pytest.raises(ChannelUnreachable, match="Connection refused") as caught:
            EnvironmentBuilder(shared).create("x", pip=["bed-nowhere"])
    assert caught.value.transient
    assert "s3cret" not in str(caught.value)


def test_credentials_are_used_and_never_kept(
    wheels: Path, tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = EnvironmentBuilder(shared)
    with served(wheels, "user:s3cret") as (url, _):
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        lock = builder.lock(EnvironmentInput(pip=["bed-beta"]))
        environment = builder.create("secret", pip=["bed-beta"], refresh=True)
        address = url.replace("/simple", "/files/bed_old-1.0-py3-none-any.whl")
        direct = builder.create("direct", pip=[f"bed-old @ {address}"])
    assert "bed-alpha" in lock
    assert "s3cret" not in lock + environment.to_json() + builder.lock_inside(environment)
    assert not [name for name in names(direct) if name.endswith("direct_url.json")]
    assert "s3cret" not in direct.to_json() + builder.lock_inside(direct)
    with unpacked(direct) as prefix:
        assert not [path for path in prefix.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    kept = [path for path in shared.rglob("*") if path.is_file() and not path.is_relative_to(shared / "uv")]
    assert not [path for path in kept if b"s3cret" in path.read_bytes()]
    with served(wheels, "user:0ther") as (url, _):
        monkeypatch.setenv("UV_DEFAULT_INDEX", url.replace("0ther", "wr0ng"))
        with pytest.raises(EnvironmentFailed) as caught:
            builder.create("x", pip=["bed-old"], refresh=True)
    assert "wr0ng" not in str(caught.value)


def test_file_that_is_another_one_now_is_refused(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(tmp_path / "wheels", "bed-gamma", "1.0")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path / "wheels"))
    lock = tmp_path / "pylock.toml"
    lock.write_text(EnvironmentBuilder(shared).lock(EnvironmentInput(pip=["bed-gamma"])))
    make_wheel(tmp_path / "wheels", "bed-gamma", "1.0", {"bed_gamma.py": "evil = True\n"})
    with pytest.raises(BadLock, match=r"(?s)bed-gamma.*Expected.*Computed"):
        EnvironmentBuilder(tmp_path / "cache").create("x", file=lock)


def test_pips_indexes_are_uvs_unless_uv_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"PIP_INDEX_URL": "https://u:p@one/simple", "PIP_EXTRA_INDEX_URL": "https://two https://three"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    found = indexes(os.environ)
    assert found["UV_DEFAULT_INDEX"] == "https://u:p@one/simple"
    assert found["UV_INDEX"] == "https://two https://three"
    assert indexes({**os.environ, "UV_DEFAULT_INDEX": "https://mine"}) == {}


def test_another_python_of_this_machine(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    with pytest.raises(EnvironmentFailed, match=r"No Python 3\.77 on this machine"):
        EnvironmentBuilder(shared).create("x", pip=["bed-alpha"], python="3.77")
