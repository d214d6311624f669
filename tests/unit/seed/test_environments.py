"""Environments in the shapes of knit 0.2.4."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from knit import CondaCreator, CondaException, Knit, KnitException, zip_path
from knit.env import environment_of
from knit_core.environments import EnvironmentBuilder
from knit_core.launch.container_script import container_script
from knit_core.model.environment import Environment
from knit_core.spec import Service
from tests.fake_cluster import FakeCluster
from tests.unit.seed.conftest import submitted

Made = list[tuple[str, list[str], list[str]]]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A builder that packs a prefix with a Python that is a shell; what it was asked for."""
    asked: Made = []

    def create(self: Any, name: str, packages: Any = (), channels: Any = None, **more: Any) -> Environment:
        asked.append((name, list(packages), list(channels or ())))
        prefix = tmp_path / f"prefix{len(asked)}"
        (prefix / "bin").mkdir(parents=True)
        (prefix / "bin" / "python3").write_text("#!/bin/sh\necho the environment\n")
        (prefix / "bin" / "python3").chmod(0o755)
        (prefix / "bin" / "python").symlink_to("python3")
        archive = tmp_path / f"built{len(asked)}.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            for place in (prefix / "bin").iterdir():
                tar.add(place, f"bin/{place.name}")
        return Environment.from_archive(archive, name=name)

    monkeypatch.setattr(EnvironmentBuilder, "create", create)
    monkeypatch.setattr(EnvironmentBuilder, "get", lambda self, name: create(self, name) if name == "known" else None)
    return asked


def test_the_result_is_a_zip_with_one_folder(made: Made) -> None:
    path = Knit.create_env("dev", packages=["numpy"], channels=["c"], conda_pars={"channels": ["d"]})
    assert path == str(Path.home() / ".knit" / "envs" / "dev.zip")
    assert made == [("dev", ["numpy"], ["c", "d"])]
    with zipfile.ZipFile(path) as packed:
        assert {entry.split("/")[0] for entry in packed.namelist()} == {"dev"}
        assert packed.read("dev/bin/python") == packed.read("dev/bin/python3")


def test_one_that_exists_is_taken(made: Made, tmp_path: Path) -> None:
    creator = CondaCreator(conda_envs=str(tmp_path / "envs"), channels=["c"])
    assert creator.find_env("dev") is None
    path = creator.create_env("dev", packages=["numpy"])
    assert creator.find_env("dev") == str(tmp_path / "envs" / "dev")
    assert path == os.path.join(creator.conda_envs, "dev.zip")  # noqa: PTH118
    assert (
        path
        == creator.create_env("dev")
        == creator.create_env("dev", ["numpy"])
        == creator.create_env("dev", remove=True)
    )
    assert len(made) == 1
    assert creator.create_env("dev", ["numpy"], remove=True) == path
    assert creator.list_envs() == ["dev"]
    assert Knit.create_env("dev", conda_pars={"conda_envs": creator.conda_envs}) == path
    assert creator.create_env("dev", ["pandas"]) == path  # its page builds two of one name
    assert made[-1] == ("dev", ["pandas"], ["c"])
    assert len(made) == 3
    assert zipfile.is_zipfile(creator.create_env("known"))
    with pytest.raises(
        CondaException, match=r"no environment 'nothing' in .*envs; there are: dev, known\. Give packages="
    ):
        creator.create_env("nothing")


@pytest.mark.parametrize("name", ["packages", "channels"])
def test_a_text_is_not_a_list(name: str, made: Made) -> None:
    with pytest.raises(TypeError, match=rf"{name} is a list of texts, not one text: {name}=\['numpy'\]"):
        Knit.create_env("dev", **{"packages": ["python"], name: "numpy"})
    assert made == []


def test_a_text_is_not_a_list_in_the_core_either() -> None:
    import knit_core
    from knit_core.errors import EnvironmentFailed

    client = knit_core.Knit("http://rm")
    for given in ({"packages": "numpy"}, {"packages": ["python"], "channels": "c"}, {"pip": "numpy"}):
        with pytest.raises(EnvironmentFailed, match="are lists"):
            client.create_env("dev", **given)


def test_the_zip_stands_for_its_archive_until_it_is_changed(made: Made, tmp_path: Path) -> None:
    path = Knit.create_env("dev", packages=["numpy"])
    found = environment_of(path)
    assert (found.name, found.archive) == ("dev", tmp_path / "built1.tar.gz")
    assert environment_of(str(tmp_path / "mine.zip")) == str(tmp_path / "mine.zip")
    assert environment_of("hdfs:///x/dev.zip") == "hdfs:///x/dev.zip"
    time.sleep(0.01)
    folder = Path(path).with_suffix("")
    (folder / "bin" / "mine").write_text("x")
    assert Knit.create_env("dev") == path
    with zipfile.ZipFile(path) as packed:
        assert packed.read("dev/bin/mine") == b"x"
    assert environment_of(path) == path
    again = Knit.create_env("dev", packages=["numpy"], remove=True)
    assert environment_of(again).archive == tmp_path / "built2.tar.gz"
    (tmp_path / "built2.tar.gz").unlink()
    assert environment_of(again) == again


def test_where_the_environment_cannot_be_written(made: Made, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CondaException, match="cannot be written"):
        CondaCreator(conda_envs=str(tmp_path / "file")).create_env("dev", ["numpy"])


def test_a_folder(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[Path] = []
    monkeypatch.setattr(
        EnvironmentBuilder, "pack_prefix", lambda self, prefix, name="": packed.append(prefix) or "packed"
    )
    prefix = tmp_path / "prefix"
    (prefix / "bin").mkdir(parents=True)
    with pytest.raises(KnitException, match="is a folder without bin/python"):
        environment_of(str(prefix))
    (prefix / "bin" / "python").write_text("x")
    assert environment_of(str(prefix)) == str(tmp_path / "prefix.zip")
    (prefix / "pyvenv.cfg").write_text("x")
    assert environment_of(prefix).name == "prefix"
    (prefix / "conda-meta").mkdir()
    assert environment_of(str(prefix)) == "packed"
    assert packed == [prefix]
    assert environment_of(None) is None


def test_both_ways_to_use_one(made: Made, k: Knit, cluster: FakeCluster) -> None:
    env = k.create_env("dev", packages=["numpy"])
    k.start("python -V", env=env)
    assert "built1.tar.gz" in str(list(cluster.files))
    k.kill()
    with pytest.warns(DeprecationWarning, match=r"files=\[environment\].*use env="):
        k.start("dev.zip/dev/bin/python -V", files=[env])
    assert any(path.endswith("/dev.zip") for path in cluster.files)
    assert submitted(cluster)["application-id"] == "application_1_0002"


def _run(folder: Path) -> subprocess.CompletedProcess[str]:
    """What a container does with an archive that YARN has unpacked to `environment`."""
    service = Service(command="echo $CONDA_PREFIX; python", environment="dev.zip")
    (folder / "run.sh").write_text(container_script(service))
    return subprocess.run(["bash", "run.sh"], cwd=folder, capture_output=True, text=True, timeout=20)


def _python(place: Path) -> None:
    place.mkdir(parents=True)
    (place / "python").write_text("#!/bin/sh\necho the environment\n")
    (place / "python").chmod(0o755)


@pytest.mark.parametrize("inner", ["", "dev/"])
def test_an_archive_with_all_in_one_folder(inner: str, tmp_path: Path) -> None:
    _python(tmp_path / "environment" / inner / "bin")
    (tmp_path / "environment" / "other").mkdir()
    ran = _run(tmp_path)
    assert ran.stdout == f"{tmp_path}/environment{'/dev' if inner else ''}\nthe environment\n", ran.stderr


@pytest.mark.parametrize("folders", [(), ("one", "two")])
def test_an_archive_without_a_python_or_with_several(folders: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "environment").mkdir()
    for name in folders:
        _python(tmp_path / "environment" / name / "bin")
    ran = _run(tmp_path)
    assert (ran.returncode, ran.stdout) == (127, "")
    assert f"no python in the environment ({tmp_path}/environment/bin/python)" in ran.stderr


def test_links_in_a_zip_are_refused_before_the_launch(k: Knit, cluster: FakeCluster, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "dev.zip", "w") as packed:
        packed.writestr("bin/python3", "#!/bin/sh\n")
        entry = zipfile.ZipInfo("bin/python")
        entry.create_system, entry.external_attr = 3, 0o120777 << 16
        packed.writestr(entry, "python3")
    with pytest.raises(
        KnitException, match=r"'bin/python' is a link to 'python3', which YARN would unpack as a text file"
    ):
        k.start("python -V", env=str(tmp_path / "dev.zip"))
    assert cluster.apps == {}


def test_a_prefix_that_runs_from_its_zip(tmp_path: Path) -> None:
    """Unpacked without links, as YARN does it, the interpreter still starts."""
    folder = tmp_path / "env"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "bin" / "python3").chmod(0o755)
    (folder / "bin" / "python").symlink_to("python3")
    with zipfile.ZipFile(zip_path(str(folder))) as packed:
        packed.extractall(tmp_path / "node")
    python = tmp_path / "node" / "env" / "bin" / "python"
    python.chmod(0o755)  # Python's extraction keeps no modes; YARN's does
    ran = subprocess.run(
        [str(python), "-c", "import json; print(json.dumps(1))"], capture_output=True, text=True, timeout=20
    )
    assert json.loads(ran.stdout) == 1
