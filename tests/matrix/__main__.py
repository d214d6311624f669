"""Run cells of the matrix: `python -m tests.matrix [CELL ...]` (make test-matrix, make test-matrix CELL=kerberos/knox).

A cell is named by its values, or some of them. Each result is kept in results.json beside this file, from which
`python -m tests.matrix --table` writes the table of docs/cluster-kinds.md. The exit code is 0 when all jobs of the chosen cells
succeeded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from knit_core.local import LocalCluster, LocalClusterError
from tests import guard
from tests.matrix.cells import Cell, find
from tests.matrix.jobs import BEYOND_THE_GATEWAY, JOBS
from tests.matrix.table import NOT_TRIED, RESULTS, read_results, write_table

ROOT = Path(__file__).parents[2]
LIMIT = 400  # seconds for one job
_INHERITED = ("KNIT_", "HADOOP", "KRB5", "AIRFLOW")


def main() -> int:
    """Run the chosen cells one after another."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix")
    parser.add_argument("cells", nargs="*", help="name of a cell, or values of it: kerberos/knox; default: all")
    parser.add_argument("--jobs", default=",".join(JOBS), help="only these jobs, comma separated; nothing is kept then")
    parser.add_argument("--table", action="store_true", help="only write the table from the results that are kept")
    arguments = parser.parse_args()
    if not arguments.table:
        watcher = guard.start()  # a run that is killed leaves no daemons
        try:
            chosen = dict.fromkeys(cell for text in arguments.cells or [""] for cell in find(text))
        except ValueError as error:
            parser.error(str(error))
        jobs = arguments.jobs.split(",")
        results = []
        for cell in chosen:
            if cell.name in NOT_TRIED:
                print(f"{cell.name}  {NOT_TRIED[cell.name]}", flush=True)
                continue
            results.append(_run_cell(cell, jobs))
            if jobs == list(JOBS):  # after each cell: a run takes an hour
                _keep(results[-1:])
                write_table()
        watcher.kill()
        return int(any(text != "ok" for result in results for text in result["jobs"].values()))
    write_table()
    return 0


def _run_cell(cell: Cell, jobs: list[str]) -> dict[str, Any]:
    print(f"{cell.name}", flush=True)
    found: dict[str, Any] = {"cell": cell.name, "date": time.strftime("%Y-%m-%d"), "jobs": {}}
    with tempfile.TemporaryDirectory(prefix="knit-matrix-") as folder:
        Path(folder).chmod(0o755)
        cluster = LocalCluster(Path(folder) / "state")
        try:
            _bring_up(cluster, cell)
            variables = _variables(cluster)
            for name in jobs:
                began = time.monotonic()
                text = _run_job(name, variables, cell)
                found["jobs"][name] = text
                print(f"  {name:12} {time.monotonic() - began:5.0f} s  {text}", flush=True)
        except LocalClusterError as error:
            found["jobs"] = {"cluster": str(error)}
            print(f"  {error}", flush=True)
        finally:
            cluster.down(delete=True)
    return found


def _bring_up(cluster: LocalCluster, cell: Cell) -> None:
    cluster.up(
        kerberos=cell.authentication != "simple",
        tls=cell.authentication == "kerberos+tls",
        ha=cell.servers == "ha",
        httpfs=cell.way == "httpfs",
        knox=cell.way == "knox",
        hadoop=cell.hadoop,
        users=["alice", "bob"],
        timeout=240,
    )


def _variables(cluster: LocalCluster) -> dict[str, str]:
    """The environment of a shell in which `eval "$(knit local env --user alice)"` was run."""
    command = [sys.executable, "-m", "knit_core", "local", "env", "--json", "--user", "alice"]
    printed = subprocess.run([*command, "--state", str(cluster.state_dir)], capture_output=True, text=True, check=True)
    mine = {name: value for name, value in os.environ.items() if not name.startswith(_INHERITED)}
    return {**mine, **json.loads(printed.stdout)}


def _run_job(name: str, variables: dict[str, str], cell: Cell) -> str:
    """`ok`, or the last lines of what went wrong."""
    path = [str(ROOT)]
    if cell.way == "knox" and name not in BEYOND_THE_GATEWAY:
        path.insert(0, str(Path(__file__).parent / "firewall"))
        port = urlsplit(variables["KNIT_RESOURCEMANAGER"]).port
        variables = {**variables, "MATRIX_PORTS": str(port)}
    variables = {**variables, "PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, "-m", "tests.matrix.jobs", name]
    try:
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired as late:
        return f"not within {LIMIT} s: {_end(late.stderr)}"
    return "ok" if done.returncode == 0 else _end(done.stdout + done.stderr)


def _end(text: str | bytes | None) -> str:
    text = text.decode(errors="replace") if isinstance(text, bytes) else text or ""
    text = text.replace(f"{ROOT}/", "").replace(sys.prefix, "<venv>")  # results are kept: no path of this machine
    return " ⏎ ".join(text.strip().splitlines()[-4:])[-1200:]


def _keep(results: list[dict[str, Any]]) -> None:
    kept = {result["cell"]: result for result in read_results()} | {result["cell"]: result for result in results}
    RESULTS.write_text(json.dumps([kept[name] for name in sorted(kept)], indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
