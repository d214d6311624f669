"""`make bench-running`: a running application, driven with Knit and with skein 0.8.2 side by side on one embedded cluster.

The peers take turns, so that whatever else the machine does meets both. See docs/bench.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import probes  # noqa: E402
import venvs  # noqa: E402
from driver import Driver  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from trial import MEMORY, SETTLED, Bed, Failed, Peer  # noqa: E402

from knit_core.local import LocalCluster  # noqa: E402

OURS, SKEIN = "knit", "skein 0.8.2"
SCRIPTS = {OURS: "knit_driver.py", SKEIN: "skein_driver.py"}
# QueueHeadroom for 500 containers; all of them sleep.
SETTINGS = {
    "yarn.nodemanager.resource.memory-mb": str(600 * MEMORY),
    "yarn.nodemanager.resource.cpu-vcores": "600",
    "yarn.scheduler.maximum-allocation-mb": str(600 * MEMORY),
}
LOG_MB = 100
ROWS = {
    "start_1": ("submit → 1 container running", "s"),
    "start_10": ("submit → 10 containers running", "s"),
    "start_100": ("submit → 100 containers running", "s"),
    "up": ("scale 1 → 100: call → 100 running", "s"),
    "up_call": ("· the call itself", "s"),
    "down": ("scale 100 → 1: call → the ResourceManager counts 1", "s"),
    "down_ended": ("· call → 99 programs have ended", "s"),
    "put_p50": ("key-value store: put, median", "ms"),
    "put_p99": ("· 99th percentile", "ms"),
    "get_p50": ("key-value store: get, median", "ms"),
    "get_p99": ("· 99th percentile", "ms"),
    "status": ("asking for 100 containers' states", "/s"),
    "gone": ("kill → all 100 containers gone", "s"),
    "master_1": ("ApplicationMaster, resident, 1 container", "MiB"),
    "master_100": ("· 100 containers", "MiB"),
    "master_500": ("· 500 containers", "MiB"),
    "follow": (f"following {LOG_MB} MB of logs of 4 containers", "MB/s"),
}
Values = dict[str, dict[str, list[float]]]
say = Console(stderr=True).print


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="rounds per peer (default 3)")
    parser.add_argument("--no-500", action="store_true", help="leave out the 500 containers")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "running.json", help="where the JSON goes")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the cluster is taken down then, too
    values: Values = {OURS: {}, SKEIN: {}}
    problems: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="knit-bench-") as folder, _cluster(Path(folder) / "c") as (cluster, status):
        peers = _peers(cluster, status.java_home)
        urls = {daemon.name: daemon.url for daemon in status.daemons}
        bed = Bed(cluster.resourcemanager_url, urls["datanode"], {}, Path(folder))
        # The first round does not count: caches, certificates, what stays on HDFS.
        for number in range(options.runs + 1):
            for peer in peers:
                for trial in (_starts, _drive):
                    _note(values, problems, peer, lambda: trial(peer, bed), keep=number > 0)  # noqa: B023
        for peer in [] if options.no_500 else peers:
            _note(values, problems, peer, lambda: _many(peer, bed), keep=True)  # noqa: B023
        ours = peers[0]
        for _ in range(options.runs):
            _note(values, problems, ours, lambda: _follow(ours, bed), keep=True)
        document = _document(options, status, values, problems)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(document, indent=1) + "\n")
    _show(document)
    return 0


def _starts(peer: Peer, bed: Bed) -> dict[str, float]:
    """Submit to so many containers running, in a script that has loaded everything and launches for the first time."""
    found = {}
    for count in (1, 10, 100):
        marks, command = _marking(bed)
        with Driver(peer, bed) as driver:
            begun = driver.ask("submit", command=command, instances=count, memory=MEMORY)["begun"]
            found[f"start_{count}"] = driver.marks(marks, count)[-1] - begun
            driver.ask("end")
    return found


def _drive(peer: Peer, bed: Bed) -> dict[str, float]:
    """Scale, store, status and end of one application."""
    marks, command = _marking(bed)
    found = {}
    with Driver(peer, bed) as driver:
        app_id = driver.ask("submit", command=command, instances=1, memory=MEMORY)["id"]
        driver.marks(marks, 1)
        time.sleep(SETTLED)
        found["master_1"] = _resident(app_id)
        stored = driver.ask("kv", rounds=500)
        for name in ("put", "get"):
            times = sorted(1000 * took for took in stored[f"{name}s"])
            found[f"{name}_p50"], found[f"{name}_p99"] = statistics.median(times), times[int(len(times) * 0.99)]
        up = driver.ask("scale", instances=100)
        found["up"], found["up_call"] = driver.marks(marks, 100)[-1] - up["begun"], up["took"]
        time.sleep(SETTLED)
        found["master_100"] = _resident(app_id)
        found["status"] = 100 / driver.ask("status", rounds=100)["took"]
        driver.tell("scale", instances=1)
        with ThreadPoolExecutor(1) as beside:
            ended = beside.submit(driver.until, lambda: probes.programs("sleep", "900") <= 1, "1 program left", 0.1)
            gone = driver.allocated(2)
        begun = driver.answer()["begun"]
        found["down"], found["down_ended"] = gone - begun, ended.result() - begun
        driver.ask("scale", instances=100)
        driver.marks(marks, 199)
        driver.tell("end")
        gone = driver.allocated(0)
        found["gone"] = gone - driver.answer()["begun"]
    return found


def _many(peer: Peer, bed: Bed) -> dict[str, float]:
    """Memory with 500 containers."""
    marks, command = _marking(bed)
    with Driver(peer, bed) as driver:
        app_id = driver.ask("submit", command=command, instances=500, memory=MEMORY)["id"]
        driver.marks(marks, 500)
        time.sleep(SETTLED)
        found = {"master_500": _resident(app_id)}
        driver.ask("end")
    return found


def _follow(peer: Peer, bed: Bed) -> dict[str, float]:
    """Log lines through the client, while four containers write them and until the application has ended.

    From the first container's start to the last line: YARN's aggregation of the logs after the end is within.
    """
    marks = _fresh(bed.work / "marks")
    script = bed.work / "talk.sh"
    lines = LOG_MB * 10_000 // 4  # of 100 bytes
    script.write_text(
        f'date +%s.%N > "{marks}/.$CONTAINER_ID"\nmv "{marks}/.$CONTAINER_ID" "{marks}/$CONTAINER_ID"\n'
        f'yes "{"x" * 99}" | head -n {lines}\n'
    )
    with Driver(peer, bed) as driver:
        driver.ask("submit", command=f"sh {script}", instances=4, memory=MEMORY)
        driver.tell("logs")
        first = driver.marks(marks, 4)[0]
        answer = driver.answer()
        if answer["bytes"] < LOG_MB * 1e6:
            raise Failed(f"{answer['bytes']} bytes of {LOG_MB} MB")
        return {"follow": answer["bytes"] / 1e6 / (answer["begun"] + answer["took"] - first)}


def _marking(bed: Bed) -> tuple[Path, str]:
    """A folder where containers write when they began, and the command that does it."""
    marks = _fresh(bed.work / "marks")
    script = bed.work / "mark.sh"
    script.write_text(
        f'date +%s.%N > "{marks}/.$CONTAINER_ID"\nmv "{marks}/.$CONTAINER_ID" "{marks}/$CONTAINER_ID"\nexec sleep 900\n'
    )
    return marks, f"sh {script}"


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _resident(app_id: str) -> float:
    master = probes.master_pid(app_id)
    if master is None:
        raise Failed("its ApplicationMaster was not seen")
    return probes.resident(master)


def _note(values: Values, problems: dict[str, list[str]], peer: Peer, trial: Any, keep: bool) -> None:
    """Run a trial; what failed is said, not hidden."""
    try:
        found = trial()
    except Failed as failure:
        problems.setdefault(peer.name, []).append(str(failure))
        say(f"{peer.name} failed: {failure}", markup=False)
        return
    say(f"{peer.name}: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()), markup=False)
    for name, value in found.items() if keep else ():
        values[peer.name].setdefault(name, []).append(round(value, 4))


def _peers(cluster: LocalCluster, java_home: str) -> list[Peer]:
    skein = {
        "JAVA_HOME": java_home,
        "HADOOP_CONF_DIR": str(cluster.conf_dir),
        "PATH": f"{cluster.state_dir / 'bin'}:{java_home}/bin:/usr/local/bin:/usr/bin:/bin",
        "SKEIN_CONFIG": str(cluster.state_dir.parent / "skein"),
        "PYTHONWARNINGS": "ignore",
    }
    return [
        Peer(OURS, SCRIPTS[OURS], Path(sys.executable), {"PYTHONPATH": str(ROOT)}),
        Peer(SKEIN, SCRIPTS[SKEIN], venvs.interpreter_for(SKEIN), skein),
    ]


@contextlib.contextmanager
def _cluster(folder: Path) -> Iterator[tuple[LocalCluster, Any]]:
    cluster = LocalCluster(folder)
    try:
        yield cluster, cluster.up(nodes=2, settings=SETTINGS, progress=lambda s: say(s.text) if s.done else None)
    finally:
        cluster.down(delete=True)


def _document(options: argparse.Namespace, status: Any, values: Values, problems: Any) -> dict[str, Any]:
    medians = {peer: {name: statistics.median(found) for name, found in values[peer].items()} for peer in (OURS, SKEIN)}
    return {
        "date": date.today().isoformat(),
        "machine": probes.machine(status.java, status.hadoop),
        "cluster": "embedded, 2 NodeManagers, 1 DataNode, loopback, simple authentication",
        "note": "A machine that is not this benchmark's alone; the peers took turns. Medians of the runs listed.",
        "runs": options.runs,
        "medians": medians,
        "targets": _targets(medians[OURS], medians[SKEIN]),
        "values": values,
        "problems": problems,
    }


def _targets(ours: dict[str, float], skein: dict[str, float]) -> dict[str, Any]:
    """What was promised, and whether it holds; None: could not be told."""

    def share(name: str) -> float | None:
        return round(ours[name] / skein[name], 3) if ours.get(name) and skein.get(name) else None

    def holds(name: str, most: float) -> list[Any]:
        found = share(name)
        return [None if found is None else found <= most, found]

    more = share("status")
    return {
        **{f"{name}: at most a quarter": holds(name, 0.25) for name in ("start_1", "start_10", "start_100")},
        **{f"{name}: at most half": holds(name, 0.5) for name in ("up", "down")},
        **{f"{name}: at most half": holds(name, 0.5) for name in ("master_1", "master_100", "master_500")},
        **{f"{name}: level": holds(name, 1.0) for name in ("put_p50", "put_p99", "get_p50", "get_p99", "gone")},
        "status: level": [None if more is None else more >= 1, more],
        "master_500: at most 150 MB": ours["master_500"] * probes.MIB <= 150e6 if "master_500" in ours else None,
    }


def _show(document: dict[str, Any]) -> None:
    """The table: medians, and in brackets how many times ours that is."""
    medians = document["medians"]
    table = Table("medians", OURS, SKEIN)
    for name, (text, unit) in ROWS.items():
        ours, skein = medians[OURS].get(name), medians[SKEIN].get(name)
        times = f"  (× {skein / ours:.1f})" if ours and skein else ""
        table.add_row(
            text,
            "–" if ours is None else f"{ours:.2f} {unit}",
            "–" if skein is None else f"{skein:.2f} {unit}{times}",
        )
    console = Console(width=140)
    console.print(table)
    console.print(document["machine"], document["note"])
    for name, held in document["targets"].items():
        console.print(f"{name}: {held}", markup=False)
    for peer, said in document["problems"].items():
        console.print(f"{peer}: {len(said)} failed; the last: {said[-1]}", markup=False)


if __name__ == "__main__":
    begun = time.monotonic()
    code = main()
    say(f"took {time.monotonic() - begun:.0f} s")
    sys.exit(code)
