"""The kinds of applications that the soak starts: each does one, and returns what is wrong with it, or None."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from knit_core import Application, Knit, Outcome
from knit_core.local import LocalCluster
from knit_core.model.states import State

# While the NameNode is away, YARN starts attempts that cannot fetch their files, several a second.
ATTEMPTS = 100  # the most that a specification may ask for
SMALL = {"memory": 128, "vcores": 1}
DRAIN = 150.0  # seconds after the last fault within which everything that runs has ended
_KV = """
import knit_container as k
attempt = int(__import__("os").environ["KNIT_ATTEMPT"])
for i in range(20):
    k.kv.append("log/", [attempt, i])
rows = [value for _, value in sorted(k.kv.prefix("log/").items())]
k.result([i for tried, i in rows if tried == attempt])
"""
_CALLER = """
import sys
from knit_core import Knit
address, key, attempts = sys.argv[1:]
with Knit(address, user="alice") as knit:
    knit.submit("sleep 1", key=key, tags=["soak-" + key], memory=128, attempts=int(attempts))
"""


class Run(Protocol):
    """The soak, as its applications need it."""

    cluster: LocalCluster
    knit: Knit

    def again(self, action: Callable[[], Any], seconds: float = DRAIN) -> Any:
        """The action's value; after a transient error it is done again."""

    def submit(self, command: Any, **options: Any) -> Application:
        """Launch with a key, until it is accepted."""


def run(soak: Run, rng: random.Random) -> str | None:
    app = soak.submit(f"sleep {rng.uniform(0, 3):.1f}; exit 0", instances=rng.randint(1, 3))
    outcome = soak.again(app.wait).outcome
    return None if outcome is Outcome.SUCCEEDED else f"{app.id} ended {outcome}"


def failing(soak: Run, rng: random.Random) -> str | None:
    app = soak.submit("sleep 1; exit 7")
    result = soak.again(lambda: app.wait(check=False))
    return None if (result.outcome, result.exit_code) == (Outcome.FAILED, 7) else f"{app.id} ended {result}"


def restarts(soak: Run, rng: random.Random) -> str | None:
    main = {
        "command": "sleep 1; [ $KNIT_ATTEMPT -ge 3 ]",
        "restart": {"policy": "on-failure", "first_delay": 0.1},
        **SMALL,
    }
    after = {"command": "true", "depends_on": {"main": "succeeded"}, **SMALL}
    spec, key = {"services": {"main": main, "after": after}, "attempts": ATTEMPTS}, uuid.uuid4().hex
    app = soak.again(lambda: soak.knit.submit(spec, key=key))
    outcome = soak.again(app.wait).outcome
    return None if outcome is Outcome.SUCCEEDED else f"{app.id} ended {outcome}"


def store(soak: Run, rng: random.Random) -> str | None:
    app = soak.submit(["python3", "-c", _KV])
    value = soak.again(app.wait).value
    return None if value == list(range(20)) else f"{app.id}: appended 0 … 19, found {value}"


def mapped(soak: Run, rng: random.Random) -> str | None:
    values = soak.again(
        lambda: list(soak.knit.map(lambda x: x * x, range(12), workers=2, attempts=ATTEMPTS, timeout=DRAIN, **SMALL))
    )
    return None if values == [x * x for x in range(12)] else f"map gave {values}"


def two_callers(soak: Run, rng: random.Random) -> str | None:
    """One of them is killed at any moment; both mean the same application."""
    key = uuid.uuid4().hex
    caller = subprocess.Popen(
        [sys.executable, "-c", _CALLER, soak.cluster.resourcemanager_url, key, str(ATTEMPTS)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        time.sleep(rng.uniform(0.3, 2.5))
        if rng.random() < 0.5:
            caller.kill()
        app = soak.again(
            lambda: soak.knit.submit("sleep 1", key=key, tags=[f"soak-{key}"], memory=128, attempts=ATTEMPTS)
        )
        outcome = soak.again(app.wait).outcome
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            caller.wait(60)
        caller.kill()
        caller.wait()
    found = soak.again(lambda: [report.id for report in soak.knit.list(states=list(State), tags=[f"soak-{key}"])])
    return (
        None
        if outcome is Outcome.SUCCEEDED and found == [app.id]
        else f"{app.id} ended {outcome}; under its key: {found}"
    )


def killed(soak: Run, rng: random.Random) -> str | None:
    app = soak.submit("sleep 4242")
    time.sleep(rng.uniform(0, 4))
    soak.again(lambda: app.kill("soak"))
    outcome = soak.again(app.report).outcome
    return None if outcome is Outcome.KILLED else f"{app.id} was killed and ended {outcome}"


def scaled(soak: Run, rng: random.Random) -> str | None:
    app = soak.submit("sleep 4242")
    soak.again(lambda: app.wait_for_containers(1))
    count = rng.randint(2, 4)
    soak.again(lambda: app.scale(count))
    soak.again(lambda: app.wait_for_containers(count))
    soak.again(lambda: app.scale(1))
    instances = soak.again(app.services)["main"].instances
    soak.again(lambda: app.shutdown("SUCCEEDED"))
    outcome = soak.again(app.wait).outcome
    return (
        None if (instances, outcome) == (1, Outcome.SUCCEEDED) else f"{app.id}: {instances} instances, ended {outcome}"
    )


KINDS: dict[str, Callable[[Run, random.Random], str | None]] = {
    "run": run,
    "failing": failing,
    "restarts": restarts,
    "store": store,
    "map": mapped,
    "two-callers": two_callers,
    "killed": killed,
    "scaled": scaled,
}
