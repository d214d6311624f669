"""`make bench-airflow`: what a thousand deferred tasks cost, waited for together and each by itself.

The triggers run as a triggerer runs them, all on the event loop of one process; the ResourceManager is a stand-in that
holds as many applications as there are tasks (standin.py). The other side is what LivyOperator's and the EMR
operators' triggers do: each asks for its own application, with an asynchronous HTTP client of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "airflow_wait.json"
SIDES = {"together": "Knit: one poll", "alone": "one poll per task"}


def get(url: str) -> Any:
    """JSON of the stand-in."""
    with urllib.request.urlopen(url, timeout=30) as reply:
        return json.load(reply)


class Alone:
    """A trigger that polls for itself."""

    def __init__(self, base: str, app_id: str, interval: float) -> None:
        self.url, self.interval = f"{base}/ws/v1/cluster/apps/{app_id}", interval

    async def run(self) -> AsyncIterator[str]:
        """Ask until it has ended."""
        import httpx

        async with httpx.AsyncClient(timeout=30) as client:
            while True:
                reply = await client.get(self.url)
                if reply.json()["app"]["state"] in ("FINISHED", "FAILED", "KILLED"):
                    yield self.url
                    return
                await asyncio.sleep(self.interval)


async def measure(side: str, base: str, ids: list[str], interval: float, intervals: int) -> dict[str, Any]:
    """One side's numbers; runs in a process of its own."""
    if side == "together":
        from knit_airflow.triggers.application import KnitApplicationTrigger

        triggers: list[Any] = [KnitApplicationTrigger("bench", each, interval) for each in ids]
    else:
        triggers = [Alone(base, each, interval) for each in ids]
    fired: dict[str, float] = {}

    async def run(app_id: str, trigger: Any) -> None:
        async for _event in trigger.run():
            fired[app_id] = time.time()

    tasks = []
    for app_id, trigger in zip(ids, triggers, strict=True):
        tasks.append(asyncio.create_task(run(app_id, trigger)))
        await asyncio.sleep(0)
    await asyncio.sleep(3 * interval)  # all have begun
    before, cpu, began = await asyncio.to_thread(get, f"{base}/counts"), time.process_time(), time.monotonic()
    await asyncio.sleep(intervals * interval)
    after, cpu, span = (
        await asyncio.to_thread(get, f"{base}/counts"),
        time.process_time() - cpu,
        time.monotonic() - began,
    )
    delays, chance = [], random.Random(6)
    for first in range(0, min(len(ids) // 2, 200), 10):  # ten at a time
        some = ids[first : first + 10]
        await asyncio.sleep(chance.uniform(0, interval))  # at no particular moment of the poll
        ended = (await asyncio.to_thread(get, f"{base}/end?ids={','.join(some)}"))["at"] / 1000
        while not all(each in fired for each in some):
            await asyncio.sleep(0.02)
        delays += [fired[each] - ended for each in some]
    left = [each for each in ids if each not in fired]
    for first in range(0, len(left), 200):
        await asyncio.to_thread(get, f"{base}/end?ids={','.join(left[first : first + 200])}")
    await asyncio.wait_for(asyncio.gather(*tasks), 60 + 5 * interval)
    requests = sum(after["requests"].values()) - sum(before["requests"].values())
    return {
        "requests per interval": requests / (span / interval),
        "bytes per interval": (after["bytes"] - before["bytes"]) / (span / interval),
        "cpu percent": 100 * cpu / span,
        "memory MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "delay median s": statistics.median(delays),
        "delay longest s": max(delays),
        "fired": len(fired),
    }


def side(name: str, count: int, interval: float, intervals: int) -> dict[str, Any]:
    """Start the stand-in and the process that waits; its numbers."""
    server = subprocess.Popen([sys.executable, str(HERE / "standin.py"), str(count)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        base = f"http://127.0.0.1:{int(server.stdout.readline())}"
        environment = {
            **os.environ,
            "AIRFLOW_CONN_BENCH": json.dumps({"conn_type": "knit", "host": base, "login": "alice"}),
            "NO_PROXY": "127.0.0.1",
        }
        command = [sys.executable, __file__, "--side", name, "--base", base, "--tasks", str(count)]
        command += ["--interval", str(interval), "--intervals", str(intervals)]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    finally:
        server.terminate()
        server.wait()


def show(numbers: dict[str, dict[str, Any]], count: int, interval: float) -> str:
    """The table for docs/bench.md."""
    rows = [f"| {count} waiting tasks, a look every {interval:g} s | {' | '.join(SIDES.values())} |", "|-|-|-|"]
    for key in numbers["together"]:
        digits = 0 if key in ("memory MiB", "fired", "bytes per interval") else 2
        cells = [f"{numbers[name][key]:,.{digits}f}" for name in SIDES]
        rows.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Both sides, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--intervals", type=int, default=12, help="intervals to measure")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--base", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        ids = [f"application_1795641634989_{number:04d}" for number in range(1, given.tasks + 1)]
        print(json.dumps(asyncio.run(measure(given.side, given.base, ids, given.interval, given.intervals))))
        return
    numbers = {name: side(name, given.tasks, given.interval, given.intervals) for name in SIDES}
    given.output.write_text(json.dumps({"tasks": given.tasks, "interval": given.interval, **numbers}, indent=1) + "\n")
    print(show(numbers, given.tasks, given.interval))


if __name__ == "__main__":
    main()
