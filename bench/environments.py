"""`make bench-environments`: environments from packing to Python on a node, Knit beside what others do, in one run.

The same installed prefix is packed by conda-pack and by Knit; a virtual environment with the same packages by venv-pack;
cluster-pack makes its pex file from the list of packages. Launches go through skein 0.8.2 and Knit, taking turns, on one
embedded cluster with one NodeManager. See docs/bench.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import probes  # noqa: E402
import venvs  # noqa: E402
from launch import OURS, PYTHONS, SKEIN, _bed, _cluster, _peers, say  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from trial import Bed, Failed, Launch, Peer, _fresh  # noqa: E402

from knit_core import Knit  # noqa: E402
from knit_core.environments import Environment, EnvironmentBuilder  # noqa: E402
from knit_core.environments.pack.bytecode import Bytecode  # noqa: E402
from knit_core.hdfs_cache.environments import push  # noqa: E402

SIZES = {"small": ("numpy", "cloudpickle", "dask", "distributed"), "big": ()}  # big: all packages of the channel
IMPORTS = "numpy, distributed"
_COUNTED = 11.0  # seconds
HUGE = 2 << 30  # bytes of incompressible data
CONDA_PACK, VENV_PACK, CLUSTER_PACK = "conda-pack", "venv-pack", "cluster-pack"
Values = dict[str, list[float]]


def main() -> int:
    options = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results: dict[str, dict[str, Values]] = {}
    problems: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="knit-bench-") as folder:
        work = Path(folder)
        environments: dict[str, Environment] = {}
        for size in options.sizes.split(","):
            results[size] = {}
            prefix = _prefix(size, work, results[size])
            environments[size] = _packing(prefix, size, work, options.runs, results[size])
            if not options.no_peers and size != "huge":
                _other_packers(size, work, results[size], problems)
            shutil.rmtree(prefix)
        with _cluster(work / "cluster", 1) as (cluster, status):
            bed, machine = _bed(cluster, work), probes.machine(status.java, status.hadoop)
            peers = _peers([OURS, SKEIN], cluster, status.java_home, problems)  # type: ignore[arg-type]
            for size, environment in environments.items():
                _uploading(bed, environment, results[size])
                _launches(peers, bed, environment, options.launches, results[size], problems)
        _report(options.output, machine, environments, results, problems)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="packings (default 3)")
    parser.add_argument("--launches", type=int, default=3, help="launches after the first one (default 3)")
    parser.add_argument(
        "--sizes", default="small,big", help="small, big, huge (2 GB of random data; minutes and 10 GB of disk)"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave out venv-pack and cluster-pack")
    parser.add_argument(
        "--output", type=Path, default=HERE / "results" / "environments.json", help="where the JSON goes"
    )
    return parser.parse_args()


def _wanted(size: str) -> list[str]:
    from make_channel import BENCH_PACKAGES

    return ["python", *(SIZES.get(size) or BENCH_PACKAGES if size != "huge" else SIZES["small"])]


def _prefix(size: str, work: Path, results: dict[str, Values]) -> Path:
    """An installed conda prefix, by py-rattler, as conda would make it; and how long Knit takes for all of it."""
    from make_channel import BENCH_PACKAGES, build_channel

    channel = build_channel(BENCH_PACKAGES)
    begun = time.perf_counter()
    builder = EnvironmentBuilder(work / f"cache-{size}", complete=True)
    environment = builder.create(size, _wanted(size), [channel])
    _add(results, OURS, "list_to_archive", time.perf_counter() - begun)
    prefix = work / f"prefix-{size}"
    with tarfile.open(environment.archive) as tar:
        tar.extractall(prefix, filter="fully_trusted")
    for script in (prefix / "bin").iterdir():  # as an installation has them
        if script.is_file() and script.read_bytes()[:20] == b"#!/usr/bin/env pytho":
            script.write_bytes(script.read_bytes().replace(b"/usr/bin/env python", f"{prefix}/bin/python".encode(), 1))
    if size == "huge":
        (prefix / "share" / "data").mkdir(parents=True)
        for number in range(8):
            (prefix / "share" / "data" / f"{number}.bin").write_bytes(os.urandom(HUGE // 8))
    return prefix


def _packing(prefix: Path, size: str, work: Path, runs: int, results: dict[str, Values]) -> Environment:
    import conda_pack

    import knit_core.environments.pack.archive as ours

    cache, output = work / f"packed-{size}", work / "conda-pack.tar.gz"
    changed = next(prefix.glob("lib/python3*/site-packages/cloudpickle/__init__.py"))
    environment = None
    for number in range(1 if size == "huge" else runs):
        for what in ("pack_cold", "pack_one_changed"):
            if what == "pack_one_changed":
                changed.write_text(changed.read_text() + f"# {number}\n")
            seconds = _timed(lambda: conda_pack.pack(prefix=str(prefix), output=str(output), force=True))
            _add(results, CONDA_PACK, what, seconds)
            results[CONDA_PACK]["bytes"] = [output.stat().st_size]
            if what == "pack_cold":
                compile_bytecode, ours.compile_bytecode = ours.compile_bytecode, lambda *_: Bytecode(Path(), {})
                _add(results, OURS, "pack_cold_without_bytecode", _timed(lambda: _pack(prefix, cache)))
                ours.compile_bytecode = compile_bytecode
                shutil.rmtree(cache)
            begun = time.perf_counter()
            environment = EnvironmentBuilder(cache).pack_prefix(prefix, name=size)
            _add(results, OURS, what, time.perf_counter() - begun)
        _add(results, OURS, "pack_unchanged", _timed(lambda: _pack(prefix, cache)))
        say(f"{size}: packed {number + 1}/{runs}")
        if number + 1 < runs and size != "huge":
            shutil.rmtree(cache)
    assert environment is not None
    results[OURS]["bytes"] = [environment.size]
    with tarfile.open(environment.archive) as ours_tar, tarfile.open(output) as theirs:
        results[OURS]["files"], results[CONDA_PACK]["files"] = [len(ours_tar.getnames())], [len(theirs.getnames())]
    shutil.copy(output, work / f"conda-pack-{size}.tar.gz")
    return environment


def _pack(prefix: Path, cache: Path) -> Environment:
    return EnvironmentBuilder(cache).pack_prefix(prefix, name="bench")


def _other_packers(size: str, work: Path, results: dict[str, Values], problems: dict[str, str]) -> None:
    """Each in a Python of its own. Installing the virtual environment is not counted, as the prefix is not."""
    packages = _wanted(size)[1:]
    for peer, prepare, code in (
        (VENV_PACK, True, "import venv_pack; venv_pack.pack(prefix={prefix!r}, output={output!r}, force=True)"),
        (CLUSTER_PACK, False, "from cluster_pack import packaging; packaging.pack_in_pex({packages!r}, {output!r})"),
    ):
        output = work / f"{peer}-{size}.{'tar.gz' if peer == VENV_PACK else 'pex'}"
        venv = work / f"venv-{size}"
        try:
            python = venvs.interpreter_for(peer)
            if prepare:
                _run([sys.executable, "-m", "venv", str(venv)])
                _run([str(venv / "bin/python"), "-m", "pip", "install", "--quiet", *packages])
            text = code.format(prefix=str(venv), output=str(output), packages=packages)
            seconds = _timed(lambda: _run([str(python), "-c", text]))  # noqa: B023
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            problems[f"{peer}, {size}"] = str(error)
            continue
        finally:
            shutil.rmtree(venv, ignore_errors=True)
        _add(results, peer, "pack_cold" if prepare else "list_to_archive", seconds)
        results[peer]["bytes"] = [output.stat().st_size]
        output.unlink()


def _run(command: list[str]) -> None:
    environ = {
        **os.environ,
        "PATH": f"{Path(command[0]).parent}:{os.environ['PATH']}",
    }  # cluster-pack calls pex by name
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environ)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {(done.stderr or done.stdout).strip()[-300:]}")


def _uploading(bed: Bed, environment: Environment, results: dict[str, Values]) -> None:
    with Knit(bed.resourcemanager) as knit:
        for what in ("upload_first", "upload_second"):
            before = _received(bed)
            _add(results, OURS, what, _timed(lambda: push(knit, environment)))
            results[OURS][f"{what}_bytes"] = [_received(bed) - before]


def _launches(
    peers: list[Peer],
    bed: Bed,
    environment: Environment,
    runs: int,
    results: dict[str, Values],
    problems: dict[str, str],
) -> None:
    """The environment that Knit packed for Knit, the one that conda-pack packed for skein: as their users have them."""
    archives = {OURS: Path(str(environment.archive)), SKEIN: bed.work / f"conda-pack-{environment.name}.tar.gz"}
    for number in range(runs + 1):
        for peer in peers:
            try:
                values = _launch(peer, bed, archives[peer.name], PYTHONS[peer.name])
            except Failed as failure:
                problems[f"{peer.name}, {environment.name}"] = str(failure)
                continue
            for key, value in values.items():
                _add(results, peer.name, key if number else f"first_{key}", value)
            say(f"{environment.name} {number}/{runs} {peer.name}: {values}")


def _launch(peer: Peer, bed: Bed, archive: Path, python: str) -> dict[str, float]:
    """Seconds from submit, and from the container's start, to the first Python line; seconds of importing; bytes sent."""
    marks = _fresh(bed.work / "marks")
    script = bed.work / "mark.py"
    script.write_text(
        "import time\nnow = time.time()\nimport os, pathlib\n"
        "begun = os.stat('launch_container.sh').st_mtime\n"
        f"import {IMPORTS}\ndone = time.time()\nfolder = pathlib.Path({str(marks)!r})\n"
        "name = os.environ['CONTAINER_ID']\n(folder / ('.' + name)).write_text(f'{now} {begun} {done}')\n"
        "(folder / ('.' + name)).rename(folder / name)\ntime.sleep(600)\n"
    )
    before = _received(bed)
    with Launch(peer, bed, f"{python} {script}", 1, archive) as launch:
        told = launch.told()
        launch.marks(marks, 1)
        text = next(path for path in marks.iterdir() if not path.name.startswith(".")).read_text()
        now, begun, done = map(float, text.split())
        return {
            "submit_to_python": now - told["submitting"],
            "container_to_python": now - begun,
            "import": done - now,
            "sent_bytes": _received(bed) - before,
        }


def _received(bed: Bed) -> int:
    """What the DataNode counts, after the time for which it may answer from its last count."""
    time.sleep(_COUNTED)
    return probes.received(bed.datanode)


def _timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def _add(results: dict[str, Values], peer: str, what: str, value: float) -> None:
    results.setdefault(peer, {}).setdefault(what, []).append(round(value, 3))


def goals(medians: dict[str, Any]) -> dict[str, Any]:
    """What was promised, with the factor or the seconds that came out."""

    def ratio(size: str, what: str, other: str, ours: str = "") -> float | None:
        of_size = medians.get(size, {})
        theirs, mine = of_size.get(other, {}).get(what), of_size.get(OURS, {}).get(ours or what)
        return round(theirs / mine, 1) if theirs and mine else None

    big = medians.get("big", {}).get(OURS, {})
    return {
        "pack cold, big: × faster than conda-pack (goal 3)": ratio("big", "pack_cold", CONDA_PACK),
        "the same without bytecode": ratio("big", "pack_cold", CONDA_PACK, "pack_cold_without_bytecode"),
        "one package changed, big: × faster than conda-pack (goal 20)": ratio("big", "pack_one_changed", CONDA_PACK),
        "second launch, big: × faster than skein (goal 20)": ratio("big", "submit_to_python", SKEIN),
        "second launch, small: × faster than skein (goal 8)": ratio("small", "submit_to_python", SKEIN),
        "second launch, big: bytes sent (goal: nothing of the environment)": big.get("sent_bytes"),
        "second launch, big: container's start to Python, s (goal 2)": big.get("container_to_python"),
    }


def _report(
    output: Path,
    machine: dict[str, Any],
    environments: dict[str, Environment],
    results: dict[str, dict[str, Values]],
    problems: dict[str, str],
) -> None:
    medians = {
        size: {peer: {what: statistics.median(v) for what, v in values.items()} for peer, values in peers.items()}
        for size, peers in results.items()
    }
    document = {
        "date": date.today().isoformat(),
        "machine": machine,
        "load": os.getloadavg(),
        "note": "A machine that is not this benchmark's alone; who is compared took turns. Medians.",
        "packages": {size: len(environment.packages) for size, environment in environments.items()},
        "goals": goals(medians),
        "medians": medians,
        "values": results,
        "problems": problems,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=1) + "\n")
    console = Console(width=140)
    for size, peers in medians.items():
        table = Table(size, *peers)
        for what in dict.fromkeys(key for values in peers.values() for key in values):
            table.add_row(what, *(_cell(what, values.get(what)) for values in peers.values()))
        console.print(table)
    for name, value in document["goals"].items():  # type: ignore[attr-defined]
        console.print(f"{name}: {value}")
    for name, said in problems.items():
        console.print(f"{name}: {said}", markup=False)


def _cell(what: str, value: float | None) -> str:
    if value is None:
        return "–"
    if "bytes" in what:
        return f"{value / 1e6:.3f} MB" if value < 1e6 else f"{value / 1e6:.0f} MB"
    return f"{value:.0f}" if what == "files" else f"{value:.2f} s"


if __name__ == "__main__":
    sys.exit(main())
