"""How `knit run` and its like end: by the program, by Ctrl-C or a signal, by an output that nobody reads; no cluster."""

from __future__ import annotations

import errno
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import click
import pytest

from knit_core.cli import interruption as stopping
from knit_core.cli.applications import launch_and_follow as following
from knit_core.cli.interruption import Stopped
from knit_core.cli.shared import show_errors
from knit_core.errors import ConnectionFailed
from knit_core.logs import LogLine
from knit_core.model.result import Container, Result
from knit_core.model.states import ContainerState, Outcome
from knit_core.spec import ApplicationSpec, application_spec
from tests.simulated_clock import SimulatedClock

ID = "application_1_0001"
Lines = Callable[[], Iterator[str]]


class App:
    """An application that prints `lines` and ends with `result`; `kills` holds the reasons for which it was ended."""

    id = ID

    def __init__(self, lines: Lines, result: Result) -> None:
        self._lines, self._result = lines, result
        self.kills: list[str] = []
        self.killing: Callable[[], None] = lambda: None
        self.cluster = SimpleNamespace(
            resourcemanager=SimpleNamespace(kill=lambda _id, reason: self.kills.append(f"at once: {reason}"))
        )

    def report(self) -> Any:
        return SimpleNamespace(page="http://rm/app")

    def logs(self, follow: bool) -> Iterator[LogLine]:
        assert follow
        return (LogLine("main_0", 0, "node", "stdout", text) for text in self._lines())

    def wait(self) -> Result:
        return self._result.raise_for_outcome()

    def kill(self, reason: str) -> bool:
        self.killing()
        self.kills.append(reason)
        return True


class Client:
    """Launches that application."""

    upload_progress, clock = None, SimulatedClock()

    def __init__(self, app: App, submitting: Callable[[], None] = lambda: None) -> None:
        self.app, self.submitting = app, submitting
        self.config = SimpleNamespace(settings={"resourcemanager": SimpleNamespace(source="test")})

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def submit(self, _spec: Any, **_options: Any) -> App:
        self.submitting()
        return self.app

    def launched(self, _key: str) -> App:
        return self.app


def ended(*rows: tuple[str, int, int | None], outcome: Outcome = Outcome.FAILED) -> Result:
    """A result of containers: name, attempt, exit code; with a code other than 0 they have failed."""
    containers = tuple(
        Container(
            name,
            "main",
            int(name[-1]),
            attempt,
            ContainerState.KILLED if code is None else ContainerState.FAILED if code else ContainerState.SUCCEEDED,
            exit_code=code,
        )
        for name, attempt, code in rows
    )
    return Result(ID, outcome, containers=containers)


GOOD = ended(("main_0", 1, 0), outcome=Outcome.SUCCEEDED)


def run(monkeypatch: pytest.MonkeyPatch, client: Client, spec: ApplicationSpec | None = None, **options: Any) -> int:
    """The exit code of a command that launches, as the shell sees it."""
    monkeypatch.setattr(following, "client", lambda _ctx: client)

    @click.command()
    @click.pass_context
    def command(ctx: click.Context) -> int:
        chosen = {"key": None, "detach": False, "dry_run": False, **options}
        return following.launch(ctx, spec or application_spec("x"), **chosen)

    return show_errors(command, args=[])


def said(*lines: str) -> Lines:
    return lambda: iter(lines)


def raising(error: BaseException) -> Lines:
    def lines() -> Iterator[str]:
        yield "a line"
        raise error

    return lines


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([("main_0", 1, 9)], 9),
        ([("main_0", 1, 9), ("main_1", 1, None), ("main_2", 1, 0)], 9),
        ([("main_0", 1, 9), ("main_1", 1, 9)], 9),
        ([("main_0", 1, 9), ("main_1", 1, 8)], 3),
        ([("main_0", 1, 7), ("main_0", 2, 9)], 9),
        ([("main_0", 1, -104)], 3),
        ([("main_0", 1, 137)], 137),
        ([], 3),
    ],
)
def test_the_exit_code_is_the_programs_where_one_decides(
    rows: Sequence[Any], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App(said("hello"), ended(*rows))
    assert run(monkeypatch, Client(app)) == code
    out, err = capsys.readouterr()
    assert out == "0 node | hello\n"
    assert f"✗ ApplicationFailed: {ID} failed" in err
    assert app.kills == []


def test_a_killed_application_has_no_program_s_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, Client(App(said(), ended(("main_0", 1, 143), outcome=Outcome.KILLED)))) == 3


def test_success(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, Client(App(said("hello"), GOOD))) == 0
    assert "✓ succeeded    1 container, " in capsys.readouterr().err


STOPS = [
    (KeyboardInterrupt(), 130, "interrupted at the terminal"),
    (Stopped(signal.SIGTERM), 143, "the command that launched it got SIGTERM"),
    (Stopped(signal.SIGHUP), 129, "the command that launched it got SIGHUP"),
    (BrokenPipeError(), 141, "the output of the command that launched it was closed"),
]


@pytest.mark.parametrize(("stop", "code", "reason"), STOPS)
def test_what_ends_the_command_ends_the_application(
    stop: BaseException, code: int, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App(raising(stop), GOOD)
    assert run(monkeypatch, Client(app)) == code
    assert app.kills == [reason]
    assert f"ending {ID} …" in capsys.readouterr().err


@pytest.mark.parametrize(("stop", "code", "reason"), STOPS)
def test_kept_applications_go_on_and_the_command_says_so(
    stop: BaseException, code: int, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App(raising(stop), GOOD)
    assert run(monkeypatch, Client(app), keep=True) == code
    assert app.kills == []
    assert f"{ID} continues" in capsys.readouterr().err


def test_a_real_signal_while_it_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    def lines() -> Iterator[str]:
        yield "a line"
        signal.raise_signal(signal.SIGTERM)
        yield "never"

    app = App(lines, GOOD)
    before = signal.getsignal(signal.SIGTERM)
    assert run(monkeypatch, Client(app)) == 143
    assert app.kills == ["the command that launched it got SIGTERM"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_ctrl_c_while_it_ends_leaves_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App(raising(KeyboardInterrupt()), GOOD)

    def again() -> None:
        raise KeyboardInterrupt

    app.killing = again
    monkeypatch.setattr(stopping, "die_of_signals", lambda: None)  # it would count for pytest, too
    assert run(monkeypatch, Client(app)) == 130
    assert app.kills == ["at once: interrupted at the terminal"]
    err = capsys.readouterr().err
    assert "not waiting for the end" in err
    assert "Traceback" not in err


def test_a_cluster_that_does_not_answer_while_it_ends_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = App(raising(KeyboardInterrupt()), GOOD)

    def fails() -> None:
        raise ConnectionFailed("no answer")

    app.killing = fails
    assert run(monkeypatch, Client(app)) == 130
    assert f"{ID} could not be ended, and may continue: no answer" in capsys.readouterr().err


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), Stopped(signal.SIGTERM)])
def test_stopped_in_the_middle_of_a_launch_with_a_key(stop: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key `Knit.submit` itself ends what it has submitted; with one, the claim names it."""

    def submitting() -> None:
        raise stop

    app = App(said(), GOOD)
    assert run(monkeypatch, Client(app, submitting), key="k") == stopping.exit_code(stop)
    assert app.kills == [stopping.reason(stop)]
    app = App(said(), GOOD)
    assert run(monkeypatch, Client(app, submitting)) == stopping.exit_code(stop)
    assert app.kills == []


def test_nothing_to_run_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    client = Client(App(said(), GOOD))
    assert run(monkeypatch, client, application_spec("x", instances=0)) == 2
    assert "no service has an instance" in capsys.readouterr().err
    assert run(monkeypatch, client, application_spec("x", instances=0), detach=True) == 0


def test_quiet_leaves_only_the_output_and_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from knit_core.cli.shared import verbosity_options

    client = Client(App(said("hello"), ended(("main_0", 1, 4))))
    monkeypatch.setattr(following, "client", lambda _ctx: client)

    @click.command()
    @click.pass_context
    def command(ctx: click.Context) -> int:
        return following.launch(ctx, application_spec("x"), key=None, detach=False, dry_run=False)

    for option in verbosity_options():
        command = option(command)
    assert show_errors(command, args=["-q"]) == 4
    out, err = capsys.readouterr()
    assert (out, err.startswith("✗ ApplicationFailed")) == ("0 node | hello\n", True)


def test_any_command_ends_so_when_nobody_reads_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # click wraps it

    @click.command()
    def command() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    assert show_errors(command, args=[]) == 141


def test_verbose_shows_where_an_error_arose(capsys: pytest.CaptureFixture[str]) -> None:
    from knit_core.cli.shared import verbosity_options

    @click.command()
    def command() -> None:
        raise ConnectionFailed("no answer")

    assert show_errors(command, args=[]) == 1
    assert capsys.readouterr().err == "✗ ConnectionFailed: no answer\n"
    for option in verbosity_options():
        command = option(command)
    try:
        assert show_errors(command, args=["-v"]) == 1
    finally:
        logging.getLogger("knit_core").setLevel(logging.NOTSET)
    err = capsys.readouterr().err
    assert "Traceback" in err and err.endswith("✗ ConnectionFailed: no answer\n")
