"""`knit run` as its users call it: a process of its own, its output in a pipe, ended by what ends processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from knit_core import Application, Knit
from knit_core.cli.interruption import Stopped
from knit_core.launch.launcher import launch
from knit_core.model.states import Outcome, State
from knit_core.spec import application_spec
from tests.cluster_harness import eventually

pytestmark = pytest.mark.cluster
TALKS = "i=0; while [ $i -lt 600 ]; do echo line $i; i=$((i+1)); sleep 0.2; done"


def words(knit: Knit, *more: str) -> list[str]:
    return [sys.executable, "-m", "knit_core", "--cluster", knit.resourcemanager.address, "--user", "alice", *more]


def started(knit: Knit, *more: str) -> tuple[subprocess.Popen[str], Callable[[], Application]]:
    """`knit run` in a process of its own, and what finds its application."""
    name = f"cli {uuid.uuid4().hex[:8]}"
    run = words(knit, "run", "--name", name, "--memory", "128", *more)
    process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def application() -> Application:
        rows = eventually(lambda: knit.list(name=name, states=list(State)), 60, "the application")
        return knit.attach(rows[0].id)

    return process, application


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    _out, err = process.communicate(timeout=60)
    return process.returncode, err


def test_it_ends_with_the_programs_own_code_and_nothing_waits_for_input(knit: Knit) -> None:
    command = words(knit, "run", "-q", "--memory", "128", "--", "cat; echo done; exit 9")
    reading, writing = os.pipe()  # nor is the caller's input handed on
    try:
        done = subprocess.run(command, stdin=reading, capture_output=True, text=True, timeout=120)
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 9, done.stderr
    assert done.stderr.count("exited with 9") == 1, done.stderr
    assert done.stdout.rstrip().endswith("| done")
    assert "✓" not in done.stderr
    assert "✗ ApplicationFailed: application_" in done.stderr


@pytest.mark.slow
def test_a_closed_pipe_ends_the_application(knit: Knit) -> None:
    process, application = started(knit, "--", TALKS)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().endswith("line 0\n")
    process.stdout.close()  # as head does
    err = process.stderr.read()
    assert process.wait(60) == 141
    process.stderr.close()
    app = application()
    assert f"ending {app.id}" in err and "Traceback" not in err
    result = app.wait(timeout=60, check=False)
    assert (result.outcome, result.diagnostics) == (
        Outcome.KILLED,
        "the output of the command that launched it was closed",
    )


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGTERM, 143, "the command that launched it got SIGTERM"),
        pytest.param(signal.SIGINT, 130, "interrupted at the terminal", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_application(number: int, code: int, said: str, knit: Knit) -> None:
    process, application = started(knit, "--", TALKS)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    returned, err = end_of(process)
    assert (returned, "Traceback" in err) == (code, False), err
    result = application().wait(timeout=60, check=False)
    assert (result.outcome, result.diagnostics) == (Outcome.KILLED, said)


@pytest.mark.slow
def test_kept_it_goes_on(knit: Knit) -> None:
    process, application = started(knit, "--keep", "--", TALKS)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    code, err = end_of(process)
    app = application()
    assert (code, f"{app.id} continues" in err) == (143, True), err
    assert app.report().state is State.RUNNING
    assert app.kill("test")


@pytest.mark.parametrize("step", ["accepted", "settle"])
def test_whoever_interrupts_the_submission_leaves_nothing_running(step: str, knit: Knit) -> None:
    """Its caller does not know the id yet, so nobody else could end it."""
    name = f"interrupted {uuid.uuid4().hex[:8]}"

    def hook(now: str) -> None:
        if now == step:
            raise Stopped(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        launch(knit._launch(application_spec("sleep 300", memory=128, name=name), hook=hook))

    def ended() -> Any:
        return [row for row in knit.list(name=name, states=list(State)) if row.ended]

    (row,) = eventually(ended, 30, "the end of what was submitted")
    assert "its launch was interrupted" in row.diagnostics


def test_the_reason_of_a_kill_is_kept_though_no_master_hears_it(knit: Knit) -> None:
    app = knit.submit("sleep 300", memory=128)
    assert app.kill('wrong "input"\n€', grace=0)  # as before it has registered: YARN itself ends it
    result = app.wait(timeout=30, check=False)
    assert result.outcome is Outcome.KILLED
    assert 'wrong "input" €' in result.diagnostics
    assert 'wrong "input" €' in str(app.why())


@pytest.mark.slow
def test_kv_watch_shows_changes_until_the_application_ends(knit: Knit) -> None:
    app = knit.submit("sleep 300", memory=128)
    app.wait_until(lambda report: bool(report.master))
    app.kv["a/1"] = {"x": 1}
    app.kv["b"] = "elsewhere"
    command = words(knit, "kv", "watch", app.id, "a/")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'a/1\t{"x": 1}\n'
        app.kv["a/2"] = "text"
        assert process.stdout.readline() == "a/2\ttext\n"
        del app.kv["a/1"]
        assert process.stdout.readline() == "a/1\t(deleted)\n"
        app.kill("test")
        _out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    timed = subprocess.run(words(knit, "kv", "watch", app.id), capture_output=True, text=True, timeout=60)
    assert timed.returncode == 1 and "MasterUnreachable" in timed.stderr
