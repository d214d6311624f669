"""`make bench`: Knit, skein 0.8.2 and knit 0.2.4 side by side on one embedded cluster, in one run.

The peers take turns, so that whatever else the machine does meets all of them. Times of containers are what the
containers themselves wrote. A peer that does not work is reported with what it said. See docs/bench.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import probes  # noqa: E402
import venvs  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from trial import Bed, Failed, Peer, cold, with_environment  # noqa: E402

from knit_core import Knit  # noqa: E402
from knit_core.local import LocalCluster  # noqa: E402

OURS, SKEIN, SEED = "knit", "skein 0.8.2", "knit 0.2.4"
PEERS = (OURS, SKEIN, SEED)
SCRIPTS = {OURS: "this_knit.py", SKEIN: "skein_peer.py", SEED: "seed_knit.py"}
PYTHONS = {OURS: "python", SKEIN: "environment/bin/python", SEED: "env.zip/env/bin/python"}
ROWS = {
    "script_to_containers": ("cold script: process start → 2 containers running", "s"),
    "script_to_submit": ("· process start → ready to submit", "s"),
    "submit_to_master": ("· submit → ApplicationMaster running", "s"),
    "master_cpu": ("· ApplicationMaster: processor time until it registers", "s"),
    "master_to_containers": ("· ApplicationMaster running → 2 containers", "s"),
    "client_mib": ("client, resident (its JVM included)", "MiB"),
    "master_mib": ("ApplicationMaster, resident", "MiB"),
    "first_submit_to_python": ("first launch with the environment: submit → first Python line", "s"),
    "first_uploaded_bytes": ("· bytes sent to HDFS", "MB"),
    "submit_to_python": ("second launch with it: submit → first Python line", "s"),
    "uploaded_bytes": ("· bytes sent to HDFS", "MB"),
}
Results = dict[str, dict[str, list[float]]]
say = Console(stderr=True).print


def main() -> int:
    options = _arguments()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every peer's bytecode is kept, as an installed package's is
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the cluster is taken down then, too
    results: Results = {peer: {} for peer in PEERS}
    problems: dict[str, list[str]] = {}
    if options.only_environment and options.output.is_file():
        results.update(json.loads(options.output.read_text())["values"])
    with tempfile.TemporaryDirectory(prefix="knit-bench-") as folder:
        work = Path(folder)
        if not options.only_environment:
            with _cluster(work / "two-nodes", 2) as (cluster, status):
                peers = _peers(options.peers, cluster, status.java_home, problems)
                _cold_rounds(peers, _bed(cluster, work), options.runs, results, problems)
                document = _report(options, status, results, problems, None)
        if not options.no_environment:
            # one node: otherwise a "second" launch may be the first one on its node, and unpack everything again
            with _cluster(work / "one-node", 1) as (cluster, status):
                peers, bed = _peers(options.peers, cluster, status.java_home, problems), _bed(cluster, work)
                for size in _environment_rounds(peers, bed, options.environment_runs, results, problems):
                    document = _report(options, status, results, problems, size)
    show(document)
    return 0


@contextlib.contextmanager
def _cluster(folder: Path, nodes: int) -> Iterator[tuple[LocalCluster, Any]]:
    """A cluster of its own, taken down in every case."""
    cluster = LocalCluster(folder)
    try:
        yield cluster, cluster.up(nodes=nodes, progress=lambda step: say(step.text) if step.done else None)
    finally:
        cluster.down(delete=True)


def _report(
    options: argparse.Namespace, status: Any, results: Results, problems: dict[str, list[str]], size: int | None
) -> dict[str, Any]:
    """The results so far, written to the file: a failure later does not lose them."""
    document: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": probes.machine(status.java, status.hadoop),
        "cluster": "embedded, 1 DataNode, loopback, simple authentication; 2 NodeManagers, with the environment 1",
        "note": "A machine that is not this benchmark's alone; the peers took turns. Medians of the runs listed.",
        "runs": options.runs,
        "environment_archive_bytes": size,
        "medians": {
            peer: {key: statistics.median(values) for key, values in results[peer].items()} for peer in results
        },
        "values": results,
        "problems": problems,
    }
    document["targets"] = targets(document["medians"])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(document, indent=1) + "\n")
    return document


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="cold launches per peer (default 5)")
    parser.add_argument("--environment-runs", type=int, default=3, help="repeated launches with it (default 3)")
    parser.add_argument("--only-environment", action="store_true", help="keep the cold launches of the last results")
    parser.add_argument("--no-environment", action="store_true", help="leave out the launches with an environment")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"which ones (default {','.join(PEERS)})")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "launch.json", help="where the JSON goes")
    options = parser.parse_args()
    options.peers = options.peers.split(",")
    return options


def _bed(cluster: LocalCluster, work: Path) -> Bed:
    urls = {daemon.name: daemon.url for daemon in cluster.status().daemons}
    rm_host, rm_port = cluster.resourcemanager_url.removeprefix("http://").split(":")
    seed = {"rm": rm_host, "rm_port": int(rm_port)}
    return Bed(cluster.resourcemanager_url, urls["datanode"], seed, work)


def _peers(names: list[str], cluster: LocalCluster, java_home: str, problems: dict[str, list[str]]) -> list[Peer]:
    peers = []
    for name in names:
        if name == OURS:
            peers.append(Peer(name, SCRIPTS[name], Path(sys.executable), {"PYTHONPATH": str(ROOT)}))
            continue
        try:
            python = venvs.interpreter_for(name)
        except RuntimeError as error:
            problems[name] = [str(error)]
            continue
        env = {
            "JAVA_HOME": java_home,
            "HADOOP_CONF_DIR": str(cluster.conf_dir),
            "PATH": f"{cluster.state_dir / 'bin'}:{java_home}/bin:/usr/local/bin:/usr/bin:/bin",
            "SKEIN_CONFIG": str(cluster.state_dir.parent / "skein"),
            "PYTHONWARNINGS": "ignore",
        }
        peers.append(Peer(name, SCRIPTS[name], python, env))
    return peers


def _cold_rounds(peers: list[Peer], bed: Bed, runs: int, results: Results, problems: dict[str, list[str]]) -> None:
    """One round first that does not count: it fills caches of files, makes certificates, uploads what stays."""
    for number in range(runs + 1):
        for peer in peers:
            values = _try(peer, lambda peer=peer: cold(peer, bed), problems)  # type: ignore[misc]
            if values and number:
                _add(results[peer.name], values)
            if values:
                say(f"cold {number}/{runs} {peer.name}: {values['script_to_containers']:.2f} s")


def _environment_rounds(
    peers: list[Peer], bed: Bed, runs: int, results: Results, problems: dict[str, list[str]]
) -> Iterator[int]:
    """The same content for all; only the seed wants a ZIP file. Yields the archive's size after each round."""
    from make_channel import BENCH_PACKAGES, build_channel

    packages = ["python", *BENCH_PACKAGES]
    with Knit(bed.resourcemanager) as knit:
        archive = knit.create_env("bench", packages, [build_channel(BENCH_PACKAGES)]).archive
    archives = {peer.name: archive for peer in peers}
    if SEED in archives:
        archives[SEED] = as_zip(archive, bed.work / "env.zip")
    for number in range(runs + 1):
        for peer in peers:
            run = lambda peer=peer: with_environment(peer, bed, archives[peer.name], PYTHONS[peer.name])  # type: ignore[misc] # noqa: E731
            values = _try(peer, run, problems)
            if values:
                _add(results[peer.name], values if number else {f"first_{key}": values[key] for key in values})
                say(f"environment {number}/{runs} {peer.name}: {values}")
        yield archive.stat().st_size


def as_zip(archive: Path, target: Path) -> Path:
    """The environment as a ZIP file with one folder `env` (what knit 0.2.4 ships); links become copies."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        root = Path(folder) / "env"
        with tarfile.open(archive) as tar:
            tar.extractall(root, filter="fully_trusted")
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as packed:
            for path in sorted(root.rglob("*")):
                if path.is_file():
                    packed.write(path, Path("env") / path.relative_to(root))
    return target


def _try(peer: Peer, run: Callable[[], dict[str, float]], problems: dict[str, list[str]]) -> dict[str, float] | None:
    """A trial; None when it failed, and for a peer that failed twice: more would only take longer."""
    if len(problems.get(peer.name, [])) >= 2:
        return None
    try:
        return run()
    except Failed as failure:
        problems.setdefault(peer.name, []).append(str(failure))
        say(f"{peer.name} failed: {failure}")
        return None


def _add(into: dict[str, list[float]], values: dict[str, float]) -> None:
    for key, value in values.items():
        into.setdefault(key, []).append(round(value, 3))


def targets(medians: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What was promised, and whether it holds; None: could not be told."""
    ours, skein = medians.get(OURS, {}), medians.get(SKEIN, {})
    whole = "script_to_containers"
    share = ours[whole] / skein[whole] if whole in ours and whole in skein else None
    return {
        "cold script at most a quarter of skein's time": None if share is None else share <= 0.25,
        "share of skein's time": None if share is None else round(share, 3),
        "ApplicationMaster at most 110 MB": ours["master_mib"] * probes.MIB <= 110e6 if "master_mib" in ours else None,
        "second launch: nothing of the environment is sent": ours["uploaded_bytes"] < 100_000
        if "uploaded_bytes" in ours
        else None,
    }


def show(document: dict[str, Any]) -> None:
    """The table: medians, and in brackets how many times ours that is."""
    medians = document["medians"]
    table = Table("medians", *PEERS)
    for key, (text, unit) in ROWS.items():
        cells = [_cell(medians[peer].get(key), medians[OURS].get(key), unit, peer) for peer in PEERS]
        if any(cells):
            table.add_row(text, *(cell or "–" for cell in cells))
    console = Console(width=140)
    console.print(table)
    console.print(document["machine"], document["note"])
    for name, held in document["targets"].items():
        console.print(f"{name}: {held}")
    for peer, said in document["problems"].items():
        console.print(f"{peer}: {len(said)} failed; the last: {said[-1]}", markup=False)


def _cell(value: float | None, ours: float | None, unit: str, peer: str) -> str:
    if value is None:
        return ""
    shown = {"s": f"{value:.2f} s", "MiB": f"{value:.0f} MiB", "MB": f"{value / 1e6:.3f} MB"}[unit]
    return shown if peer == OURS or not ours or unit == "MB" else f"{shown}  (× {value / ours:.1f})"


if __name__ == "__main__":
    begun = time.monotonic()
    code = main()
    say(f"took {time.monotonic() - begun:.0f} s")
    sys.exit(code)
