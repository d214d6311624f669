"""`make bench-airflow-spark`: waiting for applications as SparkSubmitOperator does, and as Knit's deferred tasks do.

The other side is the Spark provider's own hook with `yarn_track_via_rm_api=True`, the nearest that Airflow has to Knit:
one process per task, as a worker runs it, each asking the ResourceManager for its own application every 10 s, the least
that it allows. Knit looks as often. The ResourceManager is a stand-in (standin.py). Only the wait is measured: no Spark
is started.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from bench.airflow_wait import get
from bench.airflow_wait import side as knit_side

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "airflow_spark.json"
PROVIDER = "apache-airflow-providers-apache-spark==6.3.4"
INTERVAL = 10.0  # seconds; the hook takes no less

WAIT = """
import sys, time
from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
hook = SparkSubmitHook(conn_id="bench_spark", yarn_track_via_rm_api=True, status_poll_interval=10)
print("READY", flush=True)
hook._start_yarn_application_status_tracking(sys.argv[1])
print("ENDED", time.time(), flush=True)
"""


def provider() -> Path:
    """The folder with the Spark provider, without its dependencies: Airflow is here, Spark is not needed to wait."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "knit" / "bench" / PROVIDER.replace("==", "-")
    if not (folder / "complete").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*command, "--target", str(folder), PROVIDER], check=True)
        (folder / "complete").touch()
    return folder


def spark_side(count: int, intervals: int) -> dict[str, Any]:
    """The numbers of that many tasks that wait as SparkSubmitOperator's do."""
    server = subprocess.Popen([sys.executable, str(HERE / "standin.py"), str(count)], stdout=subprocess.PIPE, text=True)
    waiting: list[subprocess.Popen[str]] = []
    try:
        assert server.stdout is not None
        base = f"http://127.0.0.1:{int(server.stdout.readline())}"
        extra = {"deploy-mode": "cluster", "yarn_resourcemanager_webapp_address": base}
        environment = {
            **os.environ,
            "AIRFLOW_CONN_BENCH_SPARK": json.dumps({"conn_type": "spark", "host": "yarn", "extra": extra}),
            "PYTHONPATH": str(provider()),
            "NO_PROXY": "127.0.0.1",
        }
        ids = [f"application_1795641634989_{number:04d}" for number in range(1, count + 1)]
        for app_id in ids:
            command = [sys.executable, "-c", WAIT, app_id]
            waiting.append(
                subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            )
        for each in waiting:
            _until(each, "READY")
        time.sleep(INTERVAL)
        before, began = get(f"{base}/counts"), time.monotonic()
        cpu = sum(_cpu(each.pid) for each in waiting)
        time.sleep(intervals * INTERVAL)
        after, span = get(f"{base}/counts"), time.monotonic() - began
        cpu = sum(_cpu(each.pid) for each in waiting) - cpu
        memory = sum(psutil.Process(each.pid).memory_full_info().pss for each in waiting) / 2**20
        chance, delays = random.Random(6), []
        for app_id, each in zip(ids, waiting, strict=True):
            time.sleep(chance.uniform(0, INTERVAL / 2))
            ended = get(f"{base}/end?ids={app_id}")["at"] / 1000
            delays.append(float(_until(each, "ENDED").split()[1]) - ended)
        return {
            "requests per interval": (sum(after["requests"].values()) - sum(before["requests"].values()))
            / (span / INTERVAL),
            "bytes per interval": (after["bytes"] - before["bytes"]) / (span / INTERVAL),
            "cpu percent": 100 * cpu / span,
            "memory MiB": memory,
            "delay median s": statistics.median(delays),
            "delay longest s": max(delays),
            "worker slots": count,
        }
    finally:
        for each in [*waiting, server]:
            each.kill()
            each.wait()


def _until(process: subprocess.Popen[str], wanted: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(wanted):
            return line.strip()
    raise RuntimeError(f"a waiting process ended with {process.wait()}")


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def main() -> None:
    """Both sides, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=12, help="a worker process each, on the other side")
    parser.add_argument("--intervals", type=int, default=6, help="intervals of 10 s to measure")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    knit = {**knit_side("together", given.tasks, INTERVAL, given.intervals), "worker slots": 0}
    numbers = {"Knit": knit, "SparkSubmitOperator": spark_side(given.tasks, given.intervals)}
    given.output.write_text(json.dumps({"tasks": given.tasks, "interval": INTERVAL, **numbers}, indent=1) + "\n")
    print(
        f"| {given.tasks} waiting tasks, a look every {INTERVAL:g} s | Knit, deferred | SparkSubmitOperator |\n|-|-|-|"
    )
    for key, value in numbers["SparkSubmitOperator"].items():
        digits = 0 if key in ("memory MiB", "bytes per interval", "worker slots") else 2
        print(f"| {key} | {knit[key]:,.{digits}f} | {value:,.{digits}f} |")


if __name__ == "__main__":
    main()
