"""A peer's script that drives one running application, and what can be seen of it from outside.

The script reads commands, one JSON object a line, and answers each with a line: `begun` (seconds of the epoch, taken before
the call), `took` (seconds), and what the command asks for.

    {"do": "submit", "command", "instances", "memory": MiB}   → id
    {"do": "scale", "instances"}
    {"do": "kv", "rounds"}                                    → puts, gets: seconds each
    {"do": "status", "rounds"}                                asks for all containers so many times
    {"do": "logs"}                                            → bytes; follows until the application ends
    {"do": "end"}
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import probes
from trial import HERE, Bed, Failed, Peer

RETRY_TIMEOUT = 300.0  # seconds for one command, or for a number of containers


class Driver:
    """One application of one peer; leaving the block ends it and waits until the cluster is empty."""

    def __init__(self, peer: Peer, bed: Bed) -> None:
        self._bed = bed
        self._log: IO[bytes] = (bed.work / f"{peer.script}.log").open("wb+")
        argv = [str(peer.python), str(HERE / "peers" / peer.script), bed.resourcemanager]
        self.process = subprocess.Popen(
            argv, env={**os.environ, **peer.env}, cwd=bed.work, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> Driver:
        return self

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.tell(do, **more)
        return self.answer()

    def tell(self, do: str, **more: Any) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The answer to the command before."""
        out = self.process.stdout
        assert out is not None
        deadline = time.monotonic() + RETRY_TIMEOUT
        while time.monotonic() < deadline:
            if select.select([out], [], [], 1.0)[0]:
                line = out.readline()
                if not line:
                    raise Failed(f"its script ended: {self._last_words()}")
                if line.startswith(b'{"begun"'):
                    found: dict[str, Any] = json.loads(line)
                    return found
        raise Failed(f"no answer within {RETRY_TIMEOUT:.0f} s: {self._last_words()}")

    def marks(self, folder: Path, count: int) -> list[float]:
        """When each container began (what it wrote itself), once there are `count` of them."""
        found: list[Path] = []

        def enough() -> bool:
            nonlocal found
            found = [path for path in folder.iterdir() if not path.name.startswith(".")]
            return len(found) >= count

        self.until(enough, f"{count} containers")
        return sorted(float(path.read_text().split()[0]) for path in found)

    def until(self, condition: Callable[[], bool], what: str, poll: float = 0.02) -> float:
        """When (seconds of the epoch) the condition held first; looked at every `poll` seconds."""
        deadline = time.monotonic() + RETRY_TIMEOUT
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(f"not within {RETRY_TIMEOUT:.0f} s: {what}; {self._last_words()}")
            time.sleep(poll)
        return time.time()

    def allocated(self, count: int) -> float:
        """When the ResourceManager counts at most `count` containers."""
        return self.until(lambda: probes.allocated(self._bed.resourcemanager) <= count, f"{count} containers left")

    def __exit__(self, *_exc: object) -> None:
        rm = self._bed.resourcemanager
        try:
            self.process.communicate(timeout=30)
        except (subprocess.TimeoutExpired, BrokenPipeError, ValueError):
            os.killpg(self.process.pid, 9)
            self.process.wait()
        self._log.close()
        for app_id in probes.living(rm):
            probes.kill(rm, app_id)
        self.until(lambda: not probes.living(rm) and not probes.allocated(rm), "the cluster to be empty")

    def _last_words(self) -> str:
        if self._log.closed:
            return ""
        self._log.flush()
        lines = Path(self._log.name).read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "(it said nothing)"
