"""`Environment` to JSON and back, and environments that need no build."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knit_core.environments import BadArchive, BadEnvironmentName, Environment, PackageVersion
from knit_core.model.environment import checked_name

_TEXTS = st.text(max_size=20)
_PACKAGES = st.lists(st.builds(PackageVersion, _TEXTS, _TEXTS, _TEXTS), max_size=3).map(tuple)


@given(
    st.builds(
        Environment,
        name=_TEXTS,
        archive=st.sampled_from([Path("/cache/environment.tar.gz"), "hdfs://nn/envs/a.zip"]),
        key=_TEXTS,
        sha256=_TEXTS,
        size=st.integers(min_value=0),
        python=_TEXTS,
        packages=_PACKAGES,
    )
)
def test_json_keeps_everything(environment: Environment) -> None:
    assert Environment.from_json(environment.to_json()) == environment


def test_path_kind_through_json() -> None:
    environment = Environment.from_path("/opt/conda/")
    again = Environment.from_json(environment.to_json())
    assert again == environment
    assert (again.archive, again.kind, again.name) == ("/opt/conda", "path", "conda")


def test_json_of_a_newer_version_can_be_read() -> None:
    document = {**Environment.from_path("/opt/conda").to_dict(), "invented_later": [1]}
    assert Environment.from_json(json.dumps(document)) == Environment.from_path("/opt/conda")


def test_it_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Environment.from_path("/opt/conda").name = "other"  # type: ignore[misc]


def test_reference_for_a_specification() -> None:
    reference = Environment.from_archive("hdfs://nn/envs/science.tar.gz", platform="linux-64").as_ref()
    assert reference == {
        "archive": "hdfs://nn/envs/science.tar.gz",
        "kind": "archive",
        "name": "science",
        "sha256": "",
        "platform": "linux-64",
        "python": "",
    }
    from knit_core.spec import EnvironmentRef

    assert EnvironmentRef.model_validate(Environment.from_path("/opt/conda")).kind == "path"


def test_local_archive_is_known_by_its_bytes(tmp_path: Path) -> None:
    archive = tmp_path / "my env.tgz"
    archive.write_bytes(b"bytes")
    environment = Environment.from_archive(archive)
    assert environment.sha256 == environment.key == hashlib.sha256(b"bytes").hexdigest()
    assert (environment.archive, environment.size, environment.name) == (archive, 5, "my-env")
    assert Environment.from_archive(archive.as_uri().replace("%20", " ")).key == environment.key


@pytest.mark.parametrize("archive", ["hdfs://nn/env.tar.zst", "/envs/env", "/envs/env.tar.bz2"])
def test_what_yarn_would_not_unpack_is_refused(archive: str) -> None:
    with pytest.raises(BadArchive, match=r"\.tar\.gz, \.tgz, \.tar, \.zip"):
        Environment.from_archive(archive)


def test_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="does not exist, or is not a file"):
        Environment.from_archive(tmp_path / "gone.zip")


def test_relative_node_path_is_refused() -> None:
    with pytest.raises(BadArchive, match="absolute"):
        Environment.from_path("opt/conda")


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden", "-option", "a b", "ümlaut", "a\n", "x" * 129, "a\0"])
def test_bad_names(name: str) -> None:
    with pytest.raises(BadEnvironmentName, match="cannot name an environment"):
        checked_name(name)


@pytest.mark.parametrize("name", ["science", "Science-2.1_b+x", "0", "x" * 128])
def test_good_names(name: str) -> None:
    assert checked_name(name) == name
