"""zip_path: what YARN unpacks is the folder as it was, links included."""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path

import pytest

from knit import KnitException, zip_path


def _prefix(tmp_path: Path) -> Path:
    folder = tmp_path / "env"
    (folder / "bin").mkdir(parents=True)
    (folder / "lib" / "deep").mkdir(parents=True)
    (folder / "bin" / "python3.11").write_text("#!/bin/sh\n")
    (folder / "bin" / "python3.11").chmod(0o755)
    (folder / "bin" / "python").symlink_to("python3.11")
    (folder / "bin" / "again").symlink_to("python")
    (folder / "bin" / "absolute").symlink_to(folder / "bin" / "python3.11")
    (folder / "lib" / "deep" / "x").write_text("x")
    (folder / "lib64").symlink_to("lib")
    (folder / "empty").mkdir()
    return folder


def test_links_are_stored_as_what_they_point_to(tmp_path: Path) -> None:
    made = zip_path(str(_prefix(tmp_path)))
    assert made == str(tmp_path / "env.zip")
    with zipfile.ZipFile(made) as packed:
        modes = {entry.filename: entry.external_attr >> 16 for entry in packed.infolist()}
        for name in ("python", "again", "absolute", "python3.11"):
            assert packed.read(f"env/bin/{name}") == b"#!/bin/sh\n"
            assert modes[f"env/bin/{name}"] == 0o100755
        assert packed.read("env/lib64/deep/x") == packed.read("env/lib/deep/x") == b"x"
    assert "env/empty/" in modes
    assert len(modes) == len(set(modes))


def test_a_link_to_nothing_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = _prefix(tmp_path)
    (folder / "bin" / "gone").symlink_to("nothing")
    with caplog.at_level(logging.WARNING, "knit"), zipfile.ZipFile(zip_path(str(folder))) as packed:
        assert "env/bin/gone" not in packed.namelist()
    assert "gone is a link to nothing" in caplog.text


@pytest.mark.parametrize(
    ("link", "target", "says"),
    [
        ("up", "..", "outside of"),
        ("lib/self", ".", "which contains it"),
        ("lib/deep/root", "../..", "which contains it"),
        ("round", "round", "leads to itself"),
        ("out", "../secret", "outside of"),
        ("gone", "../not-there", "outside of"),
        ("absolute", "/etc/passwd", "outside of"),
    ],
)
def test_a_loop_or_a_link_outwards_is_an_error(link: str, target: str, says: str, tmp_path: Path) -> None:
    folder = _prefix(tmp_path)
    (tmp_path / "secret").write_text("x")
    (folder / link).symlink_to(target)
    with pytest.raises(KnitException, match=says) as caught:
        zip_path(str(folder))
    assert link.rpartition("/")[2] in str(caught.value)
    assert sorted(place.name for place in tmp_path.iterdir()) == ["env", "home", "secret"]


def test_two_links_that_lead_to_one_another(tmp_path: Path) -> None:
    folder = _prefix(tmp_path)
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    (folder / "one" / "two").symlink_to("../two")
    (folder / "two" / "one").symlink_to("../one")
    with pytest.raises(KnitException, match="which contains it"):
        zip_path(str(folder))


def test_a_folder_that_is_reached_by_a_link(tmp_path: Path) -> None:
    _prefix(tmp_path)
    (tmp_path / "alias").symlink_to("env")
    with zipfile.ZipFile(zip_path(str(tmp_path / "alias"))) as packed:
        assert packed.read("alias/bin/python") == b"#!/bin/sh\n"


def test_where_the_file_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _prefix(tmp_path)
    inside = zip_path(str(folder), str(folder / "inside.zip"))
    assert zip_path(str(folder), str(tmp_path / "other.zip")) == str(tmp_path / "other.zip")
    with zipfile.ZipFile(inside) as packed:
        assert not any(name.endswith("inside.zip") for name in packed.namelist())
    monkeypatch.chdir(tmp_path)
    assert zip_path("env", "here.zip") == "here.zip"
    assert os.path.getsize("here.zip") > 100  # noqa: PTH202
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        zip_path("nowhere")
