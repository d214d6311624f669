"""An environment from a list of packages to Python in a container, on nodes that own none of its files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from knit_core import Knit
from knit_core.environments import Environment, EnvironmentBuilder
from knit_core.errors import ApplicationFailed

pytestmark = pytest.mark.cluster

PROGRAM = """
import os, sys, numpy, knit_container
assert sys.executable.startswith(os.environ["CONDA_PREFIX"]), sys.executable
assert os.environ["PYTHON_BIN"] == os.environ["CONDA_PREFIX"] + "/bin/python"
assert numpy.__file__.startswith(os.environ["CONDA_PREFIX"])
knit_container.result({"numpy": numpy.__version__, "sum": int(numpy.arange(10).sum()), "prefix": os.environ["CONDA_PREFIX"],
    "place": os.path.realpath(os.environ["CONDA_PREFIX"])})
"""


def test_built_once_shipped_once_unpacked_once(knit: Knit, channel: str, tmp_path: Path) -> None:
    events: list[str] = []
    environment = knit.create_env("science", ["python", "numpy", "cloudpickle"], [channel])
    again = knit.create_env(
        "science", ["python", "numpy", "cloudpickle"], [channel], progress=lambda e: events.append(str(e))
    )
    assert again.key == environment.key
    assert again.archive == environment.archive
    (tmp_path / "program.py").write_text(PROGRAM)
    spec = {"instances": 2, "memory": 256, "env": environment, "files": [str(tmp_path / "program.py")]}
    first = knit.submit("python program.py", **spec).wait(timeout=120)
    value = first.value[0]
    # beside the file in the folder that YARN deletes with it, for all containers of the node
    assert re.search(r"/usercache/alice/filecache/\d+/knit-unpacked$", value["place"])
    assert value["sum"] == 45
    uploads: list[str] = []
    second = knit.submit("python program.py", progress=uploads.append, **spec).wait(timeout=120)
    assert uploads == []
    assert [v["numpy"] for v in second.value] == [value["numpy"]] * 2
    places = {v["place"] for v in [*first.value, *second.value]}
    assert len(places) == len({place.partition("/usercache/")[0] for place in places})  # one for each node


def test_the_seeds_way(knit: Knit, channel: str) -> None:
    environment = knit.create_env("seed", ["python", "numpy", "cloudpickle"], [channel])
    command = (
        "$PYTHON_BIN -c \"import os, numpy; assert 'environment' in os.environ['CONDA_PREFIX']; print(numpy.__name__)\""
    )
    app = knit.attach(knit.start(command, num_containers=1, memory=256, env=str(environment.archive)))
    app.wait(timeout=120)
    assert [line.text for line in app.logs()] == ["numpy"]


@pytest.mark.slow
def test_a_path_on_the_nodes_that_is_not_there(knit: Knit) -> None:
    app = knit.submit("python -V", memory=128, env=Environment.from_path("/no/such/conda"))
    with pytest.raises(ApplicationFailed, match="no python in the environment"):
        app.wait(timeout=60)


@pytest.mark.slow
def test_the_archive_on_hdfs_is_used_in_place(knit: Knit, channel: str) -> None:
    built = EnvironmentBuilder().create("place", ["python", "numpy", "cloudpickle"], [channel])
    place = f"/user/alice/environments/{built.key}.tar.gz"
    knit.hdfs.publish(place, Path(str(built.archive)).read_bytes())
    app = knit.submit("python -c 'import numpy'", memory=256, env=f"hdfs://{place}")
    app.wait(timeout=120)
