"""Python functions in containers: values, exceptions and large results back; what cannot work is refused before the launch."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from knit_core import Knit
from knit_core.environments import Environment
from knit_core.errors import ApplicationFailed, FunctionFailed, FunctionRefused, WaitTimeout
from knit_core.functions import RemoteTraceback
from knit_core.local import LocalCluster
from tests.cluster_harness import rm_get

pytestmark = pytest.mark.cluster
SMALL = {"memory": 256, "vcores": 1}


class Broken(Exception):
    """Raised by a test's function; comes back as itself."""


def submitted(cluster: LocalCluster) -> int:
    return int(rm_get(cluster, "/metrics")["clusterMetrics"]["appsSubmitted"])


@pytest.fixture(autouse=True, scope="module")
def _same_python() -> None:
    """The nodes are this machine, whose python3 runs functions without an environment: it must be the tests' own."""
    import subprocess

    there = subprocess.run(
        ["python3", "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if there != str(sys.version_info[:2]):
        pytest.fail(f"python3 on the PATH is {there}, the tests run on {sys.version_info[:2]}")


def test_map_gives_values_in_order(knit: Knit) -> None:
    offset = 100
    seen: list[tuple[int, int]] = []
    values = knit.map(
        lambda x: x * x + offset, range(50), workers=3, progress=lambda d, t: seen.append((d, t)), **SMALL
    )
    assert values == [x * x + 100 for x in range(50)]
    assert seen[-1] == (seen[-1][1], seen[-1][1])
    assert len(seen) == seen[-1][1]
    assert knit.map(lambda x: x, [], **SMALL) == []


def test_run_on_one_and_on_several(knit: Knit) -> None:
    def where(greeting: str) -> tuple[str, int, int]:
        import knit_container as me

        return greeting, me.instance, me.instances

    assert knit.call(where, "hello", **SMALL) == ("hello", 0, 1)
    assert knit.call(where, "hi", instances=3, **SMALL) == [("hi", rank, 3) for rank in range(3)]


def test_an_exception_comes_back_with_its_remote_traceback(knit: Knit) -> None:
    def inner(x: int) -> int:
        if x == 3:
            raise Broken("three is too many")
        return x

    with pytest.raises(Broken, match="three is too many") as caught:
        knit.map(inner, range(6), workers=2, **SMALL)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in inner" in str(caught.value.__cause__)
    values = knit.map(inner, range(6), workers=2, return_exceptions=True, **SMALL)
    assert [value if isinstance(value, int) else type(value) for value in values] == [0, 1, 2, Broken, 4, 5]


def test_exceptions_and_values_that_cannot_be_pickled(knit: Knit) -> None:
    def secretive(kind: str) -> Any:
        import threading

        class Own(Exception):
            def __reduce__(self) -> Any:
                raise TypeError("never")

        if kind == "raise":
            raise Own("nobody knows this class")
        return threading.Lock() if kind == "lock" else (lambda: 42)

    one, two, three = knit.map(
        secretive, ["raise", "lock", "lambda"], workers=1, chunk=1, return_exceptions=True, **SMALL
    )
    assert isinstance(one, FunctionFailed)
    assert "nobody knows this class" in str(one)
    assert isinstance(two, TypeError)
    assert "lock" in str(two)
    assert three() == 42


@pytest.mark.race
def test_a_worker_that_dies_is_replaced_and_its_share_done_again(knit: Knit, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    def once(x: int) -> int:
        import os
        from pathlib import Path

        mark = Path(folder) / f"died-{x}"
        if x in (2, 7) and not mark.exists():
            mark.touch()
            os._exit(9)
        return x + 1

    folder = str(tmp_path)
    assert knit.map(once, range(10), workers=2, chunk=2, **SMALL) == list(range(1, 11))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_a_function_that_kills_every_worker_fails(knit: Knit) -> None:
    def fatal(_: int) -> None:
        import os
        import sys

        print("my last words", file=sys.stderr, flush=True)
        os._exit(11)

    with pytest.raises(ApplicationFailed, match="my last words") as caught:
        knit.map(fatal, [1], workers=1, **SMALL)
    assert caught.value.exit_code == 11


@pytest.mark.slow
def test_results_larger_than_the_master_could_hold(knit: Knit) -> None:
    """80 MB of values; the ApplicationMaster has a heap of 64."""
    before = _results(knit)  # a task of Airflow leaves its values to later tries
    values = knit.map(lambda n: bytes([n]) * (20 << 20), range(4), workers=2, memory=512)
    assert [(value[0], len(value)) for value in values] == [(n, 20 << 20) for n in range(4)]
    assert _results(knit) == before


def _results(knit: Knit) -> list[str]:
    apps = knit.hdfs.list(f"{knit.config.staging}/apps")
    return [file.path for app in apps for file in knit.hdfs.list(f"{app.path}/results")]


@pytest.mark.slow
def test_a_result_of_one_gigabyte(knit: Knit) -> None:
    value = knit.call(lambda: b"x" * (1 << 30), memory="4 GiB")
    assert len(value) == 1 << 30
    assert value[-1:] == b"x"


def test_what_cannot_work_is_refused_before_anything_is_launched(knit: Knit, clean_cluster: LocalCluster) -> None:
    before = submitted(clean_cluster)
    lock = threading.Lock()
    with pytest.raises(FunctionRefused, match=r"cannot be pickled.*lock.*Nothing was launched"):
        knit.call(lambda: lock.locked(), **SMALL)
    with pytest.raises(FunctionRefused, match="an argument"):
        knit.map(print, [lock], **SMALL)
    other = Environment(name="old", archive=Path("/x/old.tar.gz"), key="0" * 64, python="3.6.8")
    with pytest.raises(FunctionRefused, match=r"old has Python 3\.6\.8.*Nothing was launched"):
        knit.call(os.getpid, env=other, **SMALL)
    with pytest.raises(FunctionRefused, match="workers must be a whole number of at least 1"):
        knit.map(str, [1], workers=0, **SMALL)
    assert submitted(clean_cluster) == before


def test_a_deadline_ends_the_application(knit: Knit) -> None:
    import time

    with pytest.raises(WaitTimeout):
        knit.call(lambda: time.sleep(300), timeout=8, **SMALL)


def test_in_an_environment(knit: Knit, channel: str) -> None:
    env = knit.create_env("functions", [f"python={sys.version_info[0]}.{sys.version_info[1]}", "numpy"], [channel])

    def total(n: int) -> tuple[int, str]:
        import sys

        import numpy

        return int(numpy.arange(n).sum()), sys.prefix

    found, prefix = knit.call(total, 1000, env=env, memory=512)
    assert found == 499500
    assert prefix.endswith("/environment")
