"""`make demo`: the whole idea for real, on this machine, in a few minutes.

A Hadoop cluster (NameNode, DataNode, ResourceManager, two NodeManagers), an Airflow (scheduler, dag processor, triggerer,
api-server), then the quickstart DAG: build an environment, launch a YARN application in it, wait for it, use its result.
Everything lives under `.demo` and on loopback, and is ended again (`--keep` leaves it up; `--stop` ends what was kept).
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import make_channel  # noqa: E402
from airflow_processes import AirflowProcesses, session_processes  # noqa: E402

from knit_core import Knit  # noqa: E402
from knit_core.local import LocalCluster, Step  # noqa: E402

FOLDER = ROOT / ".demo"
SESSIONS = FOLDER / "airflow-sessions.json"
DAG, USER = "knit_quickstart", "demo"
TASKS = ("env", "squares", "finished", "total")
out = Console(highlight=False, soft_wrap=True, markup=False)


class Demo:
    """The steps, each shown with the time that it took."""

    def __init__(self) -> None:
        self.cluster = LocalCluster(FOLDER / "cluster")
        self.airflow: AirflowProcesses | None = None
        self.times: list[tuple[str, float]] = []

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step: says that it begins, and how long it took."""
        out.print(f"… {name}", style="dim")
        began = time.monotonic()
        yield
        self.times.append((name, time.monotonic() - began))
        out.print(f"✓ {name}  {self.times[-1][1]:.1f} s", style="green")

    def run(self) -> None:
        """All of it."""
        with self.step("channel of conda packages, made from this machine's Python"):
            channel = make_channel.build_channel()
        with self.step("Hadoop cluster with two nodes"):
            self.cluster.up(nodes=2, progress=_show)
            self.cluster.add_user(USER)
        with self.step("Airflow: scheduler, dag processor, triggerer, api-server"):
            self.airflow = self._start_airflow(channel)
        client = self.airflow.client
        with self.step(f"DAG {DAG} found"):
            client.wait_parsed(DAG, 90)
        run = client.trigger(DAG)
        for task in TASKS:
            with self.step(f"task {task}"):
                attempt = client.wait_task(DAG, run, task, "success", 240)["try_number"]
            if task == "squares":
                lines = [line for line in client.log(DAG, run, task, attempt).splitlines() if " | " in line]
                for line in lines[:8]:
                    out.print(f"    {line.strip()[-150:]}", style="cyan")
        self._summary(run)

    def _start_airflow(self, channel: str) -> AirflowProcesses:
        dags = FOLDER / "dags"
        shutil.rmtree(dags, ignore_errors=True)
        dags.mkdir(parents=True)
        shutil.copy(ROOT / "dags_examples" / "quickstart.py", dags)
        shutil.copytree(ROOT / "dags_examples" / "programs", dags / "programs")
        shutil.rmtree(FOLDER / "airflow", ignore_errors=True)
        connection = {"conn_type": "knit", "host": self.cluster.resourcemanager_url, "login": USER}
        variables = {"AIRFLOW_CONN_KNIT_DEFAULT": json.dumps(connection), "KNIT_EXAMPLE_CHANNEL": channel}
        airflow = AirflowProcesses(FOLDER / "airflow", dags, variables=variables)
        self.airflow = airflow  # before it starts: a failure or Ctrl-C must find what to end
        airflow.start()
        return airflow

    def _summary(self, run: str) -> None:
        assert self.airflow is not None
        client = self.airflow.client
        app_id = client.xcom(DAG, run, "squares", "application_id")
        with Knit(self.cluster.resourcemanager_url, user=USER) as knit:
            app = knit.attach(app_id)
            result, report = app.result(), app.report()
        out.print()
        out.print(f"  application   {app_id}, {report.outcome}", style="bold")
        for row in result.containers if result else ():
            span = ((row.finished_at or 0) - (row.started_at or 0)) / 1000
            out.print(f"  container     {row.id} on {row.host}, exit code {row.exit_code}, {span:.1f} s")
        out.print(f"  returned      {client.xcom(DAG, run, 'squares')}  (XCom of task squares)")
        out.print(f"  result        {client.xcom(DAG, run, 'total')}  (XCom of task total)")
        out.print("  times         " + ", ".join(f"{name.split(':')[0]} {span:.1f} s" for name, span in self.times))
        out.print(f"  Airflow       {self.airflow.url}/dags/{DAG}/runs/{run}")
        out.print(f"  YARN          {report.page}")

    def keep(self) -> None:
        """Leave everything up and say how to end it."""
        assert self.airflow is not None
        leaders = {process.pid: psutil.Process(process.pid).create_time() for process in self.airflow.living()}
        SESSIONS.write_text(json.dumps(leaders))
        out.print("\nEverything is still up. End it with: make demo-stop", style="yellow")

    def stop(self) -> None:
        """End Airflow and the cluster; harmless when nothing runs."""
        if self.airflow is not None:
            self.airflow.stop()
        if SESSIONS.is_file():
            _end_kept(json.loads(SESSIONS.read_text()))
            SESSIONS.unlink()
        self.cluster.down(delete=True)


def _end_kept(processes: dict[str, float]) -> None:
    """End the processes of a kept Airflow, recognised by pid and start time."""
    for pid, created in processes.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(pid))
            if process.create_time() == created:
                for each in {*session_processes(os.getsid(int(pid))), process}:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        each.send_signal(signal.SIGKILL)


def _show(step: Step) -> None:
    if step.done:
        out.print(f"    {step.name}  {step.text}", style="dim")


def main() -> int:
    """Run the demo; 0 when all of it worked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything up")
    parser.add_argument("--stop", action="store_true", help="end what an earlier --keep left")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    demo = Demo()
    demo.stop()
    if arguments.stop:
        out.print("✓ everything is down", style="green")
        return 0
    out.print(f"Knit demo as {getpass.getuser()}; files under {FOLDER.name}/, servers on loopback only\n")
    try:
        demo.run()
        if arguments.keep:
            demo.keep()
            return 0
    except KeyboardInterrupt:
        out.print("\ninterrupted; stopping", style="yellow")
        demo.stop()
        return 130
    except BaseException:
        if demo.airflow is not None:
            out.print(demo.airflow.tail("scheduler", 15), style="red")
        demo.stop()
        raise
    demo.stop()
    out.print("\n✓ everything is stopped again (make demo KEEP=1 leaves it up)", style="green")
    return 0


if __name__ == "__main__":
    sys.exit(main())
