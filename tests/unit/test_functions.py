"""The job file of functions, written and read without a cluster; the worker in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from knit_core import Knit
from knit_core.errors import FunctionRefused, SpecError
from knit_core.functions.job import FunctionJob, RemoteTraceback, exception_of
from knit_core.functions.modules import is_own


def test_the_job_file_can_be_read_by_a_python_that_has_nothing(tmp_path: Path) -> None:
    """Not even cloudpickle, and not the module that the function comes from."""
    own = tmp_path / "own_module.py"
    own.write_text("FACTOR = 3\n\ndef helper(x):\n    return x * FACTOR\n\ndef work(x):\n    return helper(x) + 1\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import own_module  # type: ignore[import-not-found]

        FunctionJob.of_map(own_module.work, range(10), workers=2, chunk=None).write(tmp_path)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("own_module", None)
    own.unlink()
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from knit_container.functions import Job\n"
        "job = Job('function-job.zip'); f = job.function()\n"
        "print([f(*a) for n in range(job.header['chunks']) for a in job.items(n)])\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(root)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [3 * x + 1 for x in range(10)]


def test_the_same_job_is_the_same_file(tmp_path: Path) -> None:
    """So a second call with the same function uploads nothing."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    job = FunctionJob(str, [(1,), (2,), (3,)], chunk=2)
    assert job.write(tmp_path / "a").read_bytes() == job.write(tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a" / "function-job.zip") as archive:
        names = [name for name in archive.namelist() if not name.startswith("lib/")]
    assert names == ["job.json", "function", "chunks/0", "chunks/1"]


async def of_the_event_loop(x: int) -> int:
    return x


def yields(x: int) -> Iterator[int]:
    yield x


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda knit: knit.map("text", [1]), r"a function is required, not 'text' \(str\)"),
        (lambda knit: knit.map(None, []), "a function is required, not None"),
        (lambda knit: knit.call("echo hello"), r"a function is required.*Knit\.submit"),
        (lambda knit: knit.map(lambda: 1, [1]), r"cannot be called with 1 positional argument: too many"),
        (lambda knit: knit.map(lambda x, y: 1, [1]), r"\(x, y\) cannot be called with 1 .*missing .*'y'"),
        (lambda knit: knit.call(lambda x: 1, 1, 2), "cannot be called with 2 positional arguments"),
        (lambda knit: knit.map(of_the_event_loop, [1]), "of_the_event_loop is async"),
        (lambda knit: knit.map(yields, [1]), "yields is a generator"),
        (lambda knit: knit.map(str, [1], workers="4"), "workers must be a whole number of at least 1, not '4'"),
        (lambda knit: knit.map(str, [1], workers=0), "workers must be a whole number of at least 1"),
        (lambda knit: knit.map(str, [1], chunk=0), "chunk must be a whole number of at least 1"),
        (lambda knit: knit.call(str, instances=0), "instances must be a whole number of at least 1"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_launched(call: Callable[[Knit], Any], said: str) -> None:
    """Nothing listens at the address: whatever was asked there would be another error."""
    with pytest.raises(FunctionRefused, match=said):
        call(Knit("http://127.0.0.1:9", user="alice"))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda knit: knit.map(str, [1], worker=2), "'worker' is no option of Knit.map; did you mean 'workers'?"),
        (lambda knit: knit.call(str, 1, timout=2), "'timout' is no option of Knit.call; did you mean 'timeout'?"),
        (
            lambda knit: knit.submit("x", instnces=2),
            "'instnces' is no option of Knit.submit; did you mean 'instances'?",
        ),
        (lambda knit: knit.submit("x", check=False), "'check' is no option of Knit.submit; did you mean 'checks'?"),
        (lambda knit: knit.submit(len), "for a function use call or map"),
        (lambda knit: knit.plan("x", memry=2), "'memry' is no option of Knit.plan; did you mean 'memory'?"),
    ],
)
def test_an_option_that_is_mistyped_is_told_the_nearest_one_of_the_call(call: Callable[[Knit], Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        call(Knit("http://127.0.0.1:9", user="alice"))
    assert said in str(caught.value)


def test_functions_without_a_signature_are_left_to_the_container() -> None:
    assert FunctionJob.of_map(max, [[1, 2]], 1, None).calls == [([1, 2],)]
    assert FunctionJob.of_call(dict, (), 2).calls == [(), ()]


@pytest.mark.parametrize(("items", "workers", "chunk", "chunks"), [(100, 5, None, 20), (3, 10, None, 3), (10, 1, 3, 4)])
def test_items_are_cut_into_chunks(items: int, workers: int, chunk: int | None, chunks: int) -> None:
    job = FunctionJob.of_map(str, range(items), workers, chunk)
    assert job.chunks == chunks
    assert len(job.calls) == items


def test_a_chunk_of_nothing_is_refused() -> None:
    with pytest.raises(FunctionRefused, match="chunk must be a whole number of at least 1"):
        FunctionJob.of_map(str, [1], 1, 0)


def test_what_cannot_be_pickled_is_named(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as file, pytest.raises(FunctionRefused, match="argument of str cannot be pickled"):
        FunctionJob(str, [(file,)]).write(tmp_path)


def test_names() -> None:
    assert FunctionJob(lambda: 0, []).name == "lambda"
    assert FunctionJob(test_names, []).name == "test_names"
    assert FunctionJob(Path("/x").joinpath, []).name == "joinpath"


def test_own_modules_are_told_from_installed_ones() -> None:
    assert is_own(__name__, sys.modules[__name__])
    for name in ("json", "pytest", "sys", "cloudpickle", "knit_container"):
        assert not is_own(name, __import__(name))
    assert not is_own("made", ModuleType("made"))


def test_where_modules_come_from_is_found_out_once_and_not_per_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 2,000 modules loaded and 12 chunks it took ten seconds before a map was submitted."""
    resolved: list[Path] = []
    resolve = Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda self, strict=False: resolved.append(self) or resolve(self, strict))
    FunctionJob.of_map(str, range(50), 3, 1).write(tmp_path)
    resolved.clear()
    FunctionJob.of_map(str, range(50), 3, 1).write(tmp_path)
    assert len(resolved) < 10


def test_a_remote_exception_keeps_its_traceback() -> None:
    error = exception_of((ValueError("x"), "ValueError: x", "Traceback …\n  in f\n"))
    assert isinstance(error, ValueError)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in f" in str(error.__cause__)


def test_a_replaced_worker_takes_up_its_chunks_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim that told its earlier attempt that nothing is left is no chunk."""
    from knit_container import functions as inside

    class Store:
        def keys(self, _prefix: str) -> list[str]:
            return ["done/0", "done/3"]

        def prefix(self, _prefix: str) -> dict[str, int]:
            return {f"claims/{number:010}": rank for number, rank in enumerate([0, 1, 0, 0, 1, 1, 0, 1])}

    monkeypatch.setattr(inside.knit, "kv", Store())
    monkeypatch.setattr(inside.knit, "instance", 0)
    monkeypatch.setattr(inside.knit, "attempt", 2)
    assert inside._unfinished(6) == [2]  # 0 and 3 are done; 6 is beyond the last
