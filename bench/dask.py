"""`make bench-dask`: a Dask cluster's life, with this Knit and with dask-yarn 0.9, in turn on one embedded cluster.

dask-yarn 0.9 does not import with the distributed of today; it gets the last one that it runs with. Both use an
environment that is on the nodes already, so that no packing or unpacking is measured. See docs/bench.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT)]

import venvs  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from knit_core.local import LocalCluster  # noqa: E402

OURS, THEIRS = "knit", "dask-yarn 0.9"
SCRIPTS = {OURS: "knit_dask.py", THEIRS: "dask_yarn_peer.py"}
ROWS = {
    "first": "cold script → first task's result",
    "both": "cold script → both workers there",
    "grow": "2 → {many} workers",
    "shrink": "{many} → 2 workers",
    "replaced": "kill -9 of a worker and its nanny → another one at work",
    "adapt_down": "adapt(minimum=0) → nobody",
    "adapt_up": "nobody → 20 tasks of 0.25 s done, at most 4 workers",
}


def main() -> int:
    """Run, show, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--many", type=int, default=20, help="workers to grow to")
    parser.add_argument("--peers", default=",".join(SCRIPTS))
    parser.add_argument("--output", type=Path, default=HERE / "results" / "dask.json")
    options = parser.parse_args()
    values: dict[str, list[dict[str, float]]] = {}
    problems: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="knit-bench-dask-") as folder:
        cluster = LocalCluster(Path(folder) / "state")
        try:
            memory = str((options.many + 6) * 512)
            limits = {"yarn.nodemanager.resource.memory-mb": memory, "yarn.nodemanager.resource.cpu-vcores": "64"}
            cluster.up(nodes=2, settings=limits)
            peers = {name: _peer(name, cluster) for name in options.peers.split(",")}
            for number in range(options.runs + 1):  # the first one fills caches and does not count
                for name, (python, environment) in peers.items():
                    if name in problems:
                        continue
                    try:
                        found = _run(name, python, environment, cluster, options.many, Path(folder))
                    except RuntimeError as error:
                        problems[name] = str(error)
                        continue
                    if number:
                        values.setdefault(name, []).append(found)
        finally:
            cluster.down(delete=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(
        json.dumps({"many": options.many, "values": values, "problems": problems}, indent=1) + "\n"
    )
    _show(values, problems, options.many)
    return 0


def _peer(name: str, cluster: LocalCluster) -> tuple[Path, dict[str, str]]:
    steps = str(HERE / "peers")
    if name == OURS:
        return Path(sys.executable), {"PYTHONPATH": f"{ROOT}:{steps}"}
    java_home = Path(shutil.which("java") or "/usr/bin/java").resolve().parent.parent
    path = f"{cluster.state_dir / 'bin'}:{java_home}/bin:/usr/local/bin:/usr/bin:/bin"
    return venvs.interpreter_for(name), {
        "HADOOP_CONF_DIR": str(cluster.conf_dir), "PATH": path, "JAVA_HOME": str(java_home), "PYTHONPATH": steps,
        "SKEIN_CONFIG": str(cluster.state_dir.parent / "skein"), "PYTHONWARNINGS": "ignore",
    }  # fmt: skip


def _run(
    name: str, python: Path, more: dict[str, str], cluster: LocalCluster, many: int, folder: Path
) -> dict[str, float]:
    job = {
        "begun": time.time(), "many": many, "prefix": str(python.parent.parent), "resourcemanager": cluster.resourcemanager_url,
    }  # fmt: skip
    done = subprocess.run(
        [str(python), str(HERE / "peers" / SCRIPTS[name]), json.dumps(job)],
        capture_output=True, text=True, env={**os.environ, **more}, cwd=folder, timeout=600, check=False,
    )  # fmt: skip
    lines = done.stdout.strip().splitlines()
    (folder / f"{name}.log").write_text(done.stderr)
    found: dict[str, float] = json.loads(lines[-1]) if lines else {}
    if "first" not in found:
        raise RuntimeError(" / ".join((done.stderr or done.stdout).strip().splitlines()[-3:]))
    if done.returncode:
        Console(stderr=True).print(f"{name}: not all steps", done.stderr[-2500:])
    Console(stderr=True).print(name, {key: round(value, 1) for key, value in found.items()})
    return found


def _show(values: dict[str, list[dict[str, float]]], problems: dict[str, str], many: int) -> None:
    table = Table("seconds, medians", *values)
    for key, text in ROWS.items():
        times = [[run[key] for run in runs if key in run] for runs in values.values()]
        cells = [f"{statistics.median(some):.1f}" if some else "failed" for some in times]
        table.add_row(text.format(many=many), *cells)
    console = Console()
    console.print(table)
    for name, text in problems.items():
        console.print(f"{name} was left out: {text}")


if __name__ == "__main__":
    sys.exit(main())
