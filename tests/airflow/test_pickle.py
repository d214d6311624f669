"""What of a DAG's function travels: run by a Python that has never heard of Airflow or of this repository."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import textwrap
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from knit_airflow.decorators._pickle import arguments_of, call, plain, remote
from knit_core.errors import FunctionRefused
from knit_core.functions import FunctionJob

DAG_FILE = '''
import helper
from airflow.sdk import dag, task
from airflow.sdk.definitions.context import Context

LIMIT = 3

@task.knit
def countdown(number: int, *, context: Context = None) -> list:
    """Calls itself, a helper of the bundle, and names a type of Airflow."""
    if number > LIMIT:
        return countdown(LIMIT)
    return [helper.double(number)] + (countdown(number - 1) if number else [])
'''


def elsewhere(path: Path, folder: Path) -> Any:
    """The value of a job's function in another interpreter, isolated, with cloudpickle from the job only."""
    code = f"""
        import json, pickle, sys, zipfile
        sys.path.insert(0, "{path}/lib")
        value = pickle.loads(zipfile.ZipFile("{path}").read("function"))()
        assert "airflow" not in sys.modules and "pydantic" not in sys.modules, "came along"
        print(json.dumps(value))
    """
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_dags_function_with_its_modules_runs_without_airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    (bundle / "my_dag.py").write_text(DAG_FILE)
    monkeypatch.syspath_prepend(str(bundle))
    import importlib.util

    # As Airflow loads DAG files: under a name that nobody else could import.
    spec = importlib.util.spec_from_file_location("unusual_prefix_0_my_dag", bundle / "my_dag.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    function = module.countdown.function
    job = FunctionJob(call(remote(function), (5,), {}), [()], each=True)
    assert job.name == "countdown"
    path = job.write(tmp_path)
    for name in ("helper.py", "my_dag.py"):
        (bundle / name).unlink()
    assert elsewhere(path, tmp_path) == [6, 4, 2, 0]


def test_arguments_lose_airflows_types() -> None:
    from airflow.sdk.definitions.param import ParamsDict
    from pendulum import datetime as moment

    def function(a: Any, logical_date: Any, params: Any, ds: str, b: int = 1) -> None: ...

    context = {
        "logical_date": moment(2026, 3, 1, tz="Europe/Berlin"),
        "params": ParamsDict({"x": 1}),
        "ds": "2026-03-01",
    }
    args, kwargs = arguments_of(function, [(moment(2026, 1, 1),)], {"b": 2}, context)
    assert args == ((datetime(2026, 1, 1, tzinfo=timezone.utc),),)
    assert type(args[0][0]) is datetime
    assert kwargs == {
        "b": 2,
        "ds": "2026-03-01",
        "logical_date": datetime(2026, 2, 28, 23, tzinfo=timezone.utc),
        "params": {"x": 1},
    }
    assert {type(value) for value in kwargs.values()} == {int, str, datetime, dict}


def test_what_only_airflow_has_is_refused() -> None:
    def function(ti: Any) -> None: ...

    with pytest.raises(FunctionRefused, match=r"'ti'.*argument.*Nothing was launched"):
        arguments_of(function, [], {}, {"ti": SimpleNamespace()})
    assert arguments_of(function, [], {"ti": 1}, {"ti": SimpleNamespace()}) == ((), {"ti": 1}), "a real argument wins"


def test_other_callables_stay_as_they_are() -> None:
    bound = functools.partial(max, 1)
    assert remote(bound) is bound
    assert plain({"a": [1, (2,)]}) == {"a": [1, (2,)]}
