"""Runs a service's readiness command until it succeeds, then reports ready. Started by the container's script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import Any


def main(interval: float, timeout: float, command: str, clock: Any = time) -> None:
    """Try every `interval` seconds, `timeout` seconds each; end together with the service's program."""
    from knit_container import ready

    parent = os.getppid()
    bash = shutil.which("bash") or "/bin/bash"  # the service may set a PATH without bash
    while os.getppid() == parent:
        try:
            done = subprocess.run(
                [bash, "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=timeout
            )
            if done.returncode == 0:
                ready()
                return
        except (
            subprocess.TimeoutExpired,
            ConnectionError,
        ):  # or no ApplicationMaster for minutes: try again
            pass
        clock.sleep(interval)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
