"""environment.yml: its contents, and errors with their line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from knit_core.environments import BadEnvironmentFile, EnvironmentBuilder, EnvironmentInput
from knit_core.environments.cache import Cache
from knit_core.environments.inputs.environment_file import read_environment_file
from knit_core.environments.solve.request import Request
from tests.unit.environments.unpacking import run, unpacked

GOOD = """\
name: science
channels:
  - ./here
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - "numpy >=1.26,<3"
  - pip
  - pip:
      - six
      - ./mine.whl
variables:
  MODE: fast
  LEVEL: 3
prefix: /home/me/miniconda3/envs/science
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "environment.yml"
    path.write_text(text)
    return path


def test_everything_in_it_counts(tmp_path: Path) -> None:
    found = read_environment_file(written(tmp_path, GOOD))
    assert found.packages == ("python=3.11", "numpy >=1.26,<3")
    assert found.channels == (f"{tmp_path}/here", "conda-forge")
    assert found.pip == ("six", f"{tmp_path}/mine.whl")
    assert found.variables == {"MODE": "fast", "LEVEL": "3"}


def test_it_gives_the_same_request_as_the_same_lists(tmp_path: Path) -> None:
    request = EnvironmentInput(file=written(tmp_path, GOOD)).source(Cache(tmp_path / "cache"), "rattler")
    assert isinstance(request, Request)
    said = EnvironmentInput(
        ["numpy >=1.26,<3", "python=3.11"],
        [f"{tmp_path}/here", "conda-forge"],
        ["six", f"{tmp_path}/mine.whl"],
        variables={"LEVEL": "3", "MODE": "fast"},
    )
    assert request.key == said.source(Cache(tmp_path / "cache"), "rattler").key
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "dependencies: []\n", "line 17: 'dependencies' occurs twice, first in line 6"),
        ("name: x\ndependencis:\n  - numpy\n", "line 3: unknown key 'dependencis': did you mean 'dependencies'?"),
        ("dependencies:\n  - numpy\n  - conda:\n    - six\n", "line 4: unknown key 'conda' in dependencies"),
        ("dependencies:\n  - numpy\n  - pip: [six]\n    pip: [six]\n", "line 4: 'pip' occurs twice"),
        ("dependencies: numpy\n", "line 1: dependencies is a list"),
        ("dependencies:\n  - numpy\n  - pip:\n    - -e .\n", "line 4: '-e': options and editable"),
        ("dependencies:\n  - [numpy]\n", "line 2: a dependency is a text"),
        ("variables:\n  A: [1]\ndependencies: [numpy]\n", "line 2: variables.A is a text"),
        ("- numpy\n", "line 1: an environment.yml has keys"),
        ("name: x\n", "has no dependencies"),
        ("", "an environment.yml has keys"),
        ("name: [\n", "is not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadEnvironmentFile, match=re.escape(said)) as caught:
        EnvironmentBuilder(tmp_path / "cache").create("x", file=written(tmp_path, text))
    assert "environment.yml" in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_file_that_is_not_there_or_of_no_kind(tmp_path: Path) -> None:
    builder = EnvironmentBuilder(tmp_path / "cache")
    with pytest.raises(BadEnvironmentFile, match="does not exist or is not a file"):
        builder.create("x", file=tmp_path / "gone.yml")
    (tmp_path / "setup.cfg").write_text("")
    with pytest.raises(BadEnvironmentFile, match=r"is not a file of a known kind: give environment\.yml"):
        builder.create("x", file=tmp_path / "setup.cfg")


def test_it_is_built_with_its_variables(channel: str, index: Path, tmp_path: Path) -> None:
    text = (
        f"channels: ['{channel}']\ndependencies:\n  - python\n  - pip: [bed-beta]\nvariables:\n  BED_MODE: fast lane\n"
    )
    environment = EnvironmentBuilder(tmp_path / "cache").create("x", file=written(tmp_path, text))
    with unpacked(environment) as prefix:
        assert run(prefix, "python", "-c", "import bed_beta; print(bed_beta.version)") == "1.0"
        script = (
            f'export CONDA_PREFIX=\'{prefix}\'; for s in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do . "$s"; done'
        )
        assert run(prefix, "bash", "-c", f"{script}; echo $BED_MODE") == "fast lane"


def test_requirements_that_the_pip_section_includes(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "requirements.txt").write_text(
        "# ours\nsix  # why\n\n-r more/second.txt\ndask \\\n  >=2\n-r requirements.txt\n"
    )
    (tmp_path / "more" / "second.txt").write_text("./mine.whl\nurl @ https://h/a.whl#sha256=0\n")
    for option in ("-r requirements.txt", "--requirement=requirements.txt", "-rrequirements.txt"):
        found = read_environment_file(
            written(tmp_path, f"dependencies:\n  - python\n  - pip:\n    - {option}\n    - last\n")
        )
        assert found.pip == (
            "six",
            f"{tmp_path}/more/mine.whl",
            "url @ https://h/a.whl#sha256=0",
            "dask    >=2",
            "last",
        )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "line 4: "),
        ("six\n--index-url https://h\n", "requirements.txt, line 2: '--index-url': options and editable"),
        ("-e .\n", "requirements.txt, line 1: '-e': options and editable"),
        ("six==1 --hash=sha256:0\n", "requirements.txt, line 1: 'six==1': options and editable"),
        ("-r gone.txt\n", "gone.txt does not exist"),
    ],
)
def test_what_cannot_be_included_is_named_with_its_line(content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "requirements.txt").write_text(content)
    with pytest.raises(BadEnvironmentFile, match=re.escape(said)):
        read_environment_file(written(tmp_path, "dependencies:\n  - python\n  - pip:\n    - -r requirements.txt\n"))


def test_keys_without_a_value_are_ignored(tmp_path: Path) -> None:
    """As in files of `conda env export` and in edited files."""
    text = "name:\nprefix: null\nchannels:\nvariables: ~\ndependencies:\n  - numpy\n  - pip:\n"
    found = read_environment_file(written(tmp_path, text))
    assert (found.channels, found.packages, found.pip, found.variables) == ((), ("numpy",), (), {})
    with pytest.raises(BadEnvironmentFile, match="has no dependencies"):
        EnvironmentInput(file=written(tmp_path, "dependencies:\n")).source(Cache(tmp_path / "cache"), "rattler")


def test_the_channels_of_condas_distribution_have_their_own_address(tmp_path: Path) -> None:
    path = written(tmp_path, "channels: [conda-forge, defaults, nodefaults]\ndependencies: [numpy, defaults::scipy]\n")
    request = EnvironmentInput(file=path).source(Cache(tmp_path / "cache"), "rattler")
    anaconda = "https://repo.anaconda.com/pkgs"
    assert isinstance(request, Request)
    assert request.channels == ("conda-forge", f"{anaconda}/main", f"{anaconda}/r")
    assert request.specs == (f"{anaconda}/main::scipy", "numpy")
    same = EnvironmentInput(["numpy", "pkgs/main::scipy"], ["conda-forge", "pkgs/main", "pkgs/r"])
    assert same.source(Cache(tmp_path / "cache"), "rattler") == request
    programs = EnvironmentInput(file=path).source(
        Cache(tmp_path / "cache"), "conda"
    )  # it knows, and may be configured otherwise
    assert isinstance(programs, Request)
    assert programs.channels == ("conda-forge", "defaults")
    assert EnvironmentInput(["numpy"], ["nodefaults"]).source(Cache(tmp_path / "cache"), "rattler").channels == (
        "conda-forge",
    )  # type: ignore[union-attr]
