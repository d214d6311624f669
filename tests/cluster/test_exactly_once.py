"""A launch with a key gives one application, wherever its process is killed, whoever races, whatever YARN forgets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

from knit_core import Knit, Outcome, State
from knit_core.errors import LedgerError
from knit_core.local import LocalCluster
from tests.cluster_harness import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.race]
STEPS = ["preflight", "stage", "claim", "document", "submit", "accepted", "settle", "after"]
#: Before and after these nothing of the launch lasts, or all of it.
PLAIN = {"preflight", "stage", "after"}
COMMAND = "sleep 120"

LAUNCH = textwrap.dedent(
    """
    import os, signal, sys
    from knit_core import Knit
    from knit_core.launch.launcher import launch
    from knit_core.spec import application_spec

    address, key, die_at, command = sys.argv[1:5]
    knit = Knit(address, user="alice")

    def hook(step):
        if step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    spec = application_spec(command, memory=128, tags=["once-" + key])
    print(launch(knit._launch(spec, key, hook=hook)), flush=True)
    hook("after")
    """
)


def launch(cluster: LocalCluster, key: str, die_at: str = "", command: str = COMMAND) -> subprocess.Popen[str]:
    """A launch in a process of its own, killed before the step `die_at`."""
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH, cluster.resourcemanager_url, key, die_at, command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output.strip()


def applications(knit: Knit, key: str) -> list[str]:
    """All applications that YARN knows under the key, ended ones too."""
    return [report.id for report in knit.list(states=list(State), tags=[f"once-{key}"])]


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=pytest.mark.slow) if step in PLAIN else step for step in STEPS]
)
def test_killed_before(step: str, knit: Knit, clean_cluster: LocalCluster, key: str) -> None:
    first = launch(clean_cluster, key, die_at=step)
    first.communicate(timeout=60)
    assert first.returncode == -signal.SIGKILL
    app_id = finish(launch(clean_cluster, key))
    assert applications(knit, key) == [app_id]
    assert finish(launch(clean_cluster, key)) == app_id
    assert applications(knit, key) == [app_id]
    knit.attach(app_id).kill(grace=0)


def test_four_at_once(knit: Knit, clean_cluster: LocalCluster, key: str) -> None:
    ids = {finish(process) for process in [launch(clean_cluster, key) for _ in range(4)]}
    assert len(ids) == 1
    assert applications(knit, key) == sorted(ids)
    knit.attach(ids.pop()).kill(grace=0)


def test_success_counts_failure_does_not(knit: Knit, clean_cluster: LocalCluster, key: str) -> None:
    failed = finish(launch(clean_cluster, key, command="exit 1"))
    assert knit.attach(failed).wait(timeout=60, check=False).outcome is Outcome.FAILED
    good = finish(launch(clean_cluster, key, command="true"))
    assert good != failed
    assert knit.attach(good).wait(timeout=60).outcome is Outcome.SUCCEEDED
    assert finish(launch(clean_cluster, key, command="true")) == good


@pytest.mark.slow
def test_superseded_is_ended_and_launched_anew(knit: Knit, clean_cluster: LocalCluster, key: str) -> None:
    old = finish(launch(clean_cluster, key))
    assert knit.launched(key) is not None
    knit.supersede(key)
    assert knit.launched(key) is None
    new = finish(launch(clean_cluster, key))
    assert new != old
    assert knit.attach(old).report().outcome is Outcome.KILLED
    knit.attach(new).kill(grace=0)


def test_a_sleeper_that_was_superseded_leaves_nothing(knit: Knit, clean_cluster: LocalCluster, key: str) -> None:
    """A process that claimed, slept and was superseded must not submit when it wakes."""
    from knit_core.launch.launcher import launch as launch_here
    from knit_core.spec import application_spec

    def hook(step: str) -> None:
        if step == "document":
            knit.supersede(key)

    spec = application_spec(COMMAND, memory=128, tags=[f"once-{key}"])
    with pytest.raises(LedgerError, match="superseded"):
        launch_here(knit._launch(spec, key, hook=hook))
    assert applications(knit, key) == []


@pytest.mark.parametrize(
    "step", [pytest.param("submit", marks=pytest.mark.slow), "accepted", pytest.param("after", marks=pytest.mark.slow)]
)
def test_the_resourcemanager_forgot(step: str, knit: Knit, clean_cluster: LocalCluster, key: str) -> None:
    """Restarted without recovery it knows no application: what was accepted is lost, what was not is submitted."""
    first = launch(clean_cluster, key, die_at=step, command="sleep 300")
    first.communicate(timeout=60)
    claimed = knit.launched(key)
    assert claimed is not None
    if step != "submit":  # let it leave its own trace (the master file) before YARN forgets it
        eventually(lambda: knit.hdfs.status(f"{claimed.folder}/master"), 30, "the master file")
    clean_cluster.restart(only=["resourcemanager"])
    eventually(lambda: knit.resourcemanager.totals().nodes == 2, 60, "both nodes back")
    app_id = finish(launch(clean_cluster, key))
    assert (app_id == claimed.id) is (step == "submit")
    assert applications(knit, key) == [app_id]
    knit.attach(app_id).kill(grace=0)


def test_killed_in_the_middle_of_an_upload(knit: Knit, clean_cluster: LocalCluster, tmp_path: Path) -> None:
    """No half file is ever used: the next launch uploads it anew and the container sees all of it."""
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(24 << 20))
    program = textwrap.dedent(
        """
        import os, signal, sys
        from knit_core import Knit
        knit = Knit(sys.argv[1], user="alice")
        knit.upload_progress = lambda name, sent, size: sent > size / 2 and os.kill(os.getpid(), signal.SIGKILL)
        knit.submit("true", files=[sys.argv[2]], memory=128)
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, clean_cluster.resourcemanager_url, str(big)]
    killed = subprocess.run(command, env=environment, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    import hashlib

    digest = hashlib.sha256(big.read_bytes()).hexdigest()
    assert knit.hdfs.status(f"{knit.config.staging}/cache/{digest}/big.bin") is None
    app = knit.submit("sha256sum big.bin", files=[str(big)], memory=128)
    app.wait(timeout=60)
    assert [line.text.split()[0] for line in app.logs()] == [digest]
