"""Shipping a virtual environment of this machine: as it is now, with editable packages, without paths of the machine."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest
from uv import find_uv_bin

from knit_core.environments import BadArchive, BadPackageSpec, Environment, EnvironmentBuilder, Progress, Stage
from tests.unit.environments.unpacking import run, unpacked
from tests.wheel_harness import make_wheel

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
SITE = f"lib/python{MINOR}/site-packages"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("venv-cache")


@pytest.fixture
def here(tmp_path: Path, wheels: Path) -> Path:
    """A virtual environment with packages of an index, one of them edited by hand, and two editable packages."""
    folder = tmp_path / "my venv"
    venv.create(folder, with_pip=False)
    install = [find_uv_bin(), "pip", "install", "--quiet", "--no-index", "--find-links", str(wheels)]
    subprocess.run([*install, "--python", str(folder / "bin" / "python"), "bed-beta"], check=True)
    (folder / SITE / "bed_beta" / "__init__.py").write_text("version = 'edited'\n")
    (folder / "pip.conf").write_text("[global]\nindex-url = https://user:s3cret@index/simple\n")
    editable(folder, tmp_path / "project", "bed-path", {"__editable__.bed_path.pth": f"{tmp_path}/project\n"})
    package = tmp_path / "project" / "bed_path"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from bed_path.part import value\n")
    (package / "part.py").write_text("value = 'from sources'\n")
    (package / ".env").write_text("TOKEN=s3cret\n")
    (package / "credentials.json").write_text('{"token": "s3cret"}')
    (tmp_path / "project" / "tests").mkdir()
    (tmp_path / "project" / "tests" / "__init__.py").write_text("")
    mapping = {"bed_mapped": str(tmp_path / "mapped" / "src" / "other_name")}
    finder = f"MAPPING: dict[str, str] = {mapping!r}\n"
    files = {
        "__editable__.bed_mapped.pth": "import __editable___bed_mapped_finder; __editable___bed_mapped_finder.install()",
        "__editable___bed_mapped_finder.py": finder + "def install(): pass\n",
    }
    editable(folder, tmp_path / "mapped", "bed-mapped", files)
    (tmp_path / "mapped" / "src" / "other_name").mkdir(parents=True)
    (tmp_path / "mapped" / "src" / "other_name" / "__init__.py").write_text("value = 'mapped'\n")
    return folder


def editable(folder: Path, project: Path, name: str, files: dict[str, str]) -> None:
    """Writes the files of build tools for an editable package to site-packages."""
    module = name.replace("-", "_")
    url = '{"url": "%s", "dir_info": {"editable": true}}' % project.as_uri()  # noqa: UP031
    wheel = make_wheel(folder.parent / "wheels", name, "0.1", {**files, f"{module}-0.1.dist-info/direct_url.json": url})
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / SITE)


def create(cache: Path, here: Path, **options: object) -> Environment:
    return EnvironmentBuilder(cache).create("mine", venv=here, **options)  # type: ignore[arg-type]


def test_it_is_shipped_as_it_is(here: Path, cache: Path) -> None:
    environment = create(cache, here)
    found = {package.name: package.version for package in environment.packages}
    assert found == {
        "python": ".".join(map(str, sys.version_info[:3])),
        "bed-alpha": "2.0",
        "bed-beta": "1.0",
        "bed-path": "0.1",
        "bed-mapped": "0.1",
    }
    with unpacked(environment) as prefix:
        subprocess.run(["mv", str(here), str(here.parent / "gone")], check=True)
        subprocess.run(["mv", str(here.parent / "project"), str(here.parent / "away")], check=True)
        code = "import bed_beta, bed_alpha, bed_path, bed_mapped; print(bed_beta.version, bed_path.value, bed_mapped.value)"
        assert run(prefix, "python", "-c", code) == "edited from sources mapped"
        assert run(prefix, "bed-alpha") == "bed-alpha"
        code = "from importlib.metadata import version; print(version('bed-path'), version('bed-alpha'))"
        assert run(prefix, "python", "-c", code) == "0.1 2.0"
        assert (prefix / "bin" / "bed-alpha").read_text().startswith("#!/usr/bin/env python\n")
        assert not (prefix / SITE / "tests").exists()
        for path in prefix.rglob("*"):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                assert b"s3cret" not in data, path
                assert str(here.parent).encode() not in data, path


def test_unchanged_it_is_packed_once_and_a_change_is_seen(here: Path, cache: Path) -> None:
    first = create(cache, here)
    events: list[Progress] = []
    assert create(cache, here, progress=events.append) == first
    assert [event.stage for event in events] == [Stage.DONE]
    (here.parent / "project" / "bed_path" / "part.py").write_text("value = 'changed sources'\n")
    second = create(cache, here)
    assert second.key != first.key
    (here / SITE / "bed_alpha" / "__init__.py").write_text("version = 'changed'\n")
    assert create(cache, here).key not in {first.key, second.key}


def test_the_same_contents_elsewhere_give_the_same_bytes(here: Path, cache: Path, tmp_path: Path, wheels: Path) -> None:
    other = tmp_path / "another"
    install = [find_uv_bin(), "pip", "install", "--quiet", "--no-index", "--find-links", str(wheels)]
    for folder in (other, tmp_path / "third"):
        venv.create(folder, with_pip=False)
        subprocess.run([*install, "--python", str(folder / "bin" / "python"), "bed-beta"], check=True)
    assert create(cache, other).sha256 == create(cache, tmp_path / "third").sha256


def test_what_cannot_be_shipped(tmp_path: Path, cache: Path, here: Path) -> None:
    with pytest.raises(BadArchive, match="does not exist"):
        create(cache, tmp_path / "nothing")
    with pytest.raises(BadPackageSpec, match="shipped as it is"):
        create(cache, here, pip=["six"])
    (here / SITE / "bed_alpha-2.0.dist-info" / "RECORD").unlink()
    with pytest.raises(BadArchive, match=r"bed-alpha .* has no list of its files"):
        create(cache, here)


def test_editable_package_with_unknown_folder(cache: Path, here: Path) -> None:
    (here / SITE / "__editable___bed_mapped_finder.py").write_text("MAPPING = {}\n")
    with pytest.raises(BadArchive, match=r"bed-mapped .* is editable, and the folder of its modules is not known"):
        create(cache, here)
