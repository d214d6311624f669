"""Every kind of environment on nodes that have no Python of it, run by a user who owns none of the files."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest
from uv import find_uv_bin

from knit_core import ApplicationSpec, Knit
from knit_core.environments import Environment, EnvironmentBuilder, EnvironmentInput

pytestmark = pytest.mark.cluster

PROGRAM = """
import importlib.metadata, os, sys, bed_alpha, knit_container
prefix = os.environ["CONDA_PREFIX"]
assert sys.executable == prefix + "/bin/python", sys.executable
assert bed_alpha.__file__.startswith(prefix), bed_alpha.__file__
assert bed_alpha.__spec__.cached and os.path.exists(bed_alpha.__spec__.cached), "no bytecode"
assert os.stat(bed_alpha.__file__).st_uid != os.getuid() or not os.access(bed_alpha.__file__, os.W_OK) or os.getuid() == 0
told = knit_container.environment()
assert told["prefix"] == prefix
knit_container.result({
    "version": bed_alpha.version,
    "packages": {package["name"]: package["version"] for package in told["packages"]},
    "mode": os.environ.get("BED_MODE"),
})
"""


@pytest.fixture
def kinds(channel: str, wheels: Path, index: Path, tmp_path: Path) -> dict[str, dict[str, object]]:
    """What `create_env` is told for each kind; all of them have bed-alpha 1.0."""
    description = tmp_path / "environment.yml"
    description.write_text(
        f"channels: ['{channel}']\ndependencies:\n  - python\n  - pip: ['bed-alpha<2']\nvariables: {{BED_MODE: fast}}\n"
    )
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("bed-old\n")
    lock = tmp_path / "conda-lock.yml"
    lock.write_text(EnvironmentBuilder().lock(EnvironmentInput(["python"], [channel], ["bed-alpha<2"])))
    mine = tmp_path / "venv"
    venv.create(mine)
    install = [find_uv_bin(), "pip", "install", "--quiet", "--no-index", "--find-links", str(wheels)]
    subprocess.run([*install, "--python", str(mine / "bin" / "python"), "bed-alpha<2"], check=True)
    ready = EnvironmentBuilder().create("ready", pip=["bed-alpha<2"])
    return {
        "conda-and-pip": {"packages": ["python"], "channels": [channel], "pip": ["bed-alpha<2"]},
        "environment.yml": {"file": description},
        "conda-lock.yml": {"file": lock},
        "requirements.txt": {"file": requirements},
        "pip": {"pip": ["bed-alpha<2"]},
        "venv": {"venv": mine},
        "archive": {"archive": ready.archive},
    }


@pytest.mark.slow
def test_each_kind_runs_its_python(knit: Knit, kinds: dict[str, dict[str, object]], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    environments: dict[str, Environment] = {}
    for name, said in kinds.items():
        environments[name] = knit.create_env(name, **said)  # type: ignore[arg-type]
    files = [str(tmp_path / "program.py")]
    apps = {
        name: knit.submit("python program.py", name=name, memory=128, env=environment, files=files)
        for name, environment in environments.items()
    }
    results = {name: app.wait(timeout=180).value for name, app in apps.items()}
    assert {name: result["version"] for name, result in results.items()} == dict.fromkeys(kinds, "1.0")
    for name, result in results.items():
        assert result["packages"]["bed-alpha"] == "1.0"
        assert result["packages"]["python"] == ".".join(map(str, sys.version_info[:3]))
        assert result["mode"] == ("fast" if name == "environment.yml" else None)
    # The same packages are the same archive, whatever they were asked for by.
    assert environments["conda-and-pip"].sha256 == environments["conda-lock.yml"].sha256
    assert environments["pip"].sha256 == environments["archive"].sha256


def test_a_specification_describes_its_environments(
    knit: Knit, kinds: dict[str, dict[str, object]], channel: str, tmp_path: Path
) -> None:
    """They are built at the launch; the file's folder is where its paths start."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "app.yaml").write_text(f"""\
x-common: &common {{command: python program.py, memory: 128, files: [program.py]}}
services:
  both:
    <<: *common
    environment: {{packages: [python], channels: ['{channel}'], pip: ['bed-alpha<2']}}
  listed:
    <<: *common
    environment: {{file: requirements.txt, name: listed}}
""")
    said: list[str] = []
    app = knit.submit(ApplicationSpec.load(tmp_path / "app.yaml"), progress=said.append)
    values = app.wait(timeout=120).values
    assert {name: ranks[0]["version"] for name, ranks in values.items()} == {"both": "1.0", "listed": "1.0"}
    assert "bed-old" in values["listed"][0]["packages"]
    assert [line for line in said if line.startswith("environment: ") and "listed: " in line]
