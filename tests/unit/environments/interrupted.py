"""Builds in a process of its own, which stops at a stage and prints it, for tests that kill it there.

python interrupted.py <cache> <channel> <stage or -> package…
"""

import sys
import time

from knit_core.environments import EnvironmentBuilder, Progress, Stage


def main() -> None:
    cache, channel, stage = sys.argv[1:4]

    def stop(event: Progress) -> None:
        stages.add(event.stage)
        if event.stage.value == stage:
            print(stage, flush=True)
            while True:  # not signal.pause(): it would miss a signal just before it
                time.sleep(0.05)

    stages: set[Stage] = set()
    environment = EnvironmentBuilder(cache).create("bed", sys.argv[4:], [channel], progress=stop)
    print(environment.sha256, "packed" if Stage.PACK in stages else "cached", flush=True)


if __name__ == "__main__":
    main()
