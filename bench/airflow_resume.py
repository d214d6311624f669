"""`make bench-airflow-resume`: how soon tasks go on after their application's end, on a real Airflow.

Scheduler, triggerer, api-server and dag-processor run here, and so many sensors wait in the triggerer for applications
of a stand-in for the ResourceManager (standin.py). Each is a DAG run of its own with one KnitSensor that begins and ends
in the triggerer, so no worker takes part: what is measured is the poll, the trigger and what Airflow needs to record
its end. With `--overhead` it measures, on a real cluster, what KnitOperator adds to the core launcher instead.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.airflow_client import wait_for  # noqa: E402
from tools.airflow_processes import AirflowProcesses, session_processes  # noqa: E402

RESULTS = ROOT / "bench" / "results" / "airflow_resume.json"
DAGS = """
from airflow.sdk import DAG, task
from knit_airflow import KnitOperator, KnitSensor

with DAG("wait", schedule=None, max_active_runs={count}):
    KnitSensor(task_id="wait", application_id="{{{{ dag_run.conf['app'] }}}}", deferrable=True, poke_interval={interval})

with DAG("nothing", schedule=None):
    @task
    def nothing():
        return 1
    nothing()

with DAG("launch", schedule=None):
    KnitOperator(task_id="launch", command="true", memory=64, poll_interval=0.5)

with DAG("quiet", schedule=None):
    KnitOperator(task_id="quiet", command="true", memory=64, poll_interval=0.5, log_limit=0)
"""


def get(url: str) -> Any:
    """JSON of the stand-in."""
    with urllib.request.urlopen(url, timeout=30) as reply:
        return json.load(reply)


def start(folder: Path, address: str, count: int, interval: float, **more: str) -> AirflowProcesses:
    """An Airflow whose connection is this ResourceManager."""
    dags = folder / "dags"
    dags.mkdir()
    (dags / "bench.py").write_text(DAGS.format(count=count, interval=interval))
    variables = {
        "AIRFLOW_CONN_KNIT_DEFAULT": json.dumps(
            {"conn_type": "knit", "host": address, "login": getpass.getuser(), "extra": json.dumps(more)}
        ),
        "AIRFLOW__TRIGGERER__CAPACITY": str(count + 10),
        "AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE": "100",
        "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": "64",
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(count + 10),
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    }
    bed = AirflowProcesses(folder / "home", dags, variables=variables)
    bed.start(deadline=400)
    bed.client.wait_parsed("launch", 300)
    return bed


def states(bed: AirflowProcesses) -> dict[str, int]:
    """How many waiting tasks are in each state."""
    with sqlite3.connect(f"file:{bed.database}?mode=ro", uri=True, timeout=60) as database:
        rows = database.execute("select state, count(*) from task_instance where dag_id = 'wait' group by state")
        return {str(state): number for state, number in rows}


def ends(bed: AirflowProcesses) -> dict[str, float]:
    """When each run's task succeeded, as Unix time."""
    with sqlite3.connect(f"file:{bed.database}?mode=ro", uri=True, timeout=60) as database:
        rows = database.execute(
            "select run_id, end_date from task_instance where dag_id = 'wait' and state = 'success'"
        ).fetchall()
    return {run: datetime.fromisoformat(end).replace(tzinfo=timezone.utc).timestamp() for run, end in rows}


def triggerer(bed: AirflowProcesses) -> list[psutil.Process]:
    """Its supervisor and its runner."""
    return list(session_processes(bed._processes["triggerer"].pid))


def resume(count: int, interval: float, span: float) -> dict[str, Any]:
    """Let so many wait, end their applications at random moments within `span` seconds; the numbers."""
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "bench" / "standin.py"), str(count)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    base = f"http://127.0.0.1:{int(server.stdout.readline())}"
    with tempfile.TemporaryDirectory(prefix="knit-bench-") as folder:
        bed = start(Path(folder), base, count, interval, namenode=base)
        try:
            runs = [f"run-{number:04d}" for number in range(1, count + 1)]
            apps = {run: f"application_1795641634989_{run[4:]}" for run in runs}
            begun = time.monotonic()
            for run in runs:  # one after the other: on SQLite, writes side by side stall the api-server
                bed.client.trigger("wait", {"app": apps[run]}, run_id=run)
            wait_for("all deferred", lambda: states(bed).get("deferred") == count, 3600, 2, lambda: states(bed))
            print(f"{count} deferred after {time.monotonic() - begun:.0f} s", flush=True)
            time.sleep(4 * interval)
            processes = triggerer(bed)
            before, counts = _cpu(processes), get(f"{base}/counts")
            time.sleep(12 * interval)
            waited, after = _cpu(processes) - before, get(f"{base}/counts")
            memory = sum(each.memory_full_info().uss for each in processes) / 2**20
            ended = _end(base, apps, span)
            wait_for("all succeeded", lambda: states(bed).get("success") == count, 1800, 2, lambda: states(bed))
            found = ends(bed)
        finally:
            bed.stop()
            server.terminate()
            server.wait()
    delays = sorted(found[run] - ended[run] for run in runs)
    return {
        "tasks": count,
        "interval": interval,
        "requests per interval": (sum(after["requests"].values()) - sum(counts["requests"].values())) / 12,
        "triggerer cpu percent": 100 * waited / (12 * interval),
        "triggerer memory MiB": memory,
        "delay median s": statistics.median(delays),
        "delay 95 % s": delays[int(0.95 * (len(delays) - 1))],
        "delay longest s": delays[-1],
        "load": os.getloadavg()[0],
    }


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def _end(base: str, apps: dict[str, str], span: float) -> dict[str, float]:
    """End all at random moments, when each was."""
    chance = random.Random(6)
    due = sorted((chance.uniform(0, span), run) for run in apps)
    begun, ended = time.monotonic(), {}
    for at, run in due:
        time.sleep(max(0.0, begun + at - time.monotonic()))
        ended[run] = get(f"{base}/end?ids={apps[run]}")["at"] / 1000
    return ended


def overhead(times: int) -> dict[str, Any]:
    """What KnitOperator adds to the core launcher and to Airflow's own start of a task, in seconds."""
    from knit_core import Knit
    from knit_core.local import LocalCluster

    with tempfile.TemporaryDirectory(prefix="knit-bench-") as folder:
        cluster = LocalCluster(Path(folder) / "cluster")
        bed = None
        try:
            cluster.up()
            address = cluster.resourcemanager_url
            bed = start(Path(folder), address, 1, 1)
            knit = Knit(address)
            spans: dict[str, list[float]] = {"core": [], "core and logs": [], "nothing": [], "quiet": [], "launch": []}
            for number in range(times + 1):  # the first one does not count
                for logs in (False, True):
                    begun = time.monotonic()
                    app = knit.submit("true", memory=64)
                    app.wait(poll=0.5)
                    if logs:
                        list(app.logs())
                    spans["core and logs" if logs else "core"].append(time.monotonic() - begun)
                for name in ("nothing", "quiet", "launch"):
                    row = bed.client.wait_task(name, bed.client.trigger(name), name, "success", 300)
                    spans[name].append(float(row["duration"]))
                print(number, {name: round(each[-1], 2) for name, each in spans.items()}, flush=True)
        finally:
            if bed is not None:
                bed.stop()
            cluster.down(delete=True)
    middle = {f"{name} s": statistics.median(each[1:]) for name, each in spans.items()}
    empty = middle["nothing s"]
    return {
        **middle,
        "added without logs s": middle["quiet s"] - middle["core s"] - empty,
        "added with logs s": middle["launch s"] - middle["core and logs s"] - empty,
    }


def main() -> None:
    """One of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--span", type=float, default=300.0, help="seconds within which all applications end")
    parser.add_argument("--overhead", type=int, metavar="TIMES", help="measure that instead, so many times")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    found = overhead(given.overhead) if given.overhead else resume(given.tasks, given.interval, given.span)
    key = "overhead" if given.overhead else "resume"
    all_results = json.loads(given.output.read_text()) if given.output.exists() else {}
    given.output.write_text(json.dumps({**all_results, key: found}, indent=1) + "\n")
    for name, value in found.items():
        print(f"| {name} | {value:,.2f} |")


if __name__ == "__main__":
    main()
