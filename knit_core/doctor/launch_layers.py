"""The layers that need an application: one container, its logs, a function's result."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from knit_core.application import Application
from knit_core.doctor.runner import Finding, Runner
from knit_core.errors import KnitError, WaitTimeout
from knit_core.launch.cluster_query import features_of
from knit_core.model.clock import Clock, pause
from knit_core.model.connection_layers import APPLICATION, FUNCTION, LOGS, LayerCheck, failed
from knit_core.model.report import ApplicationReport
from knit_core.model.states import State
from knit_core.model.units import show_seconds

NAME, MEMORY, FUNCTION_MEMORY = "knit doctor", 128, 256  # MiB
_PYTHON = re.compile(r"knit doctor: python (\S+)")
_COMMAND = "python3 -c 'import sys; print(\"knit doctor: python %d.%d\" % sys.version_info[:2])' || echo 'knit doctor: python none'"
_OFF = "log aggregation is off (yarn.log-aggregation-enable): logs are gone some time after an application's end"


@dataclass(frozen=True)
class Launcher:
    """What launches.

    Attributes:
        submit: `Knit.submit`.
        call: `Knit.call`.
        timeout: seconds for each layer.
    """

    submit: Callable[..., Application]
    call: Callable[..., Any]
    timeout: float


def launch_layers(run: Runner, launcher: Launcher) -> Iterator[LayerCheck]:
    """The results, until the first that fails. An exception in here (Ctrl-C) ends the application."""
    clock, begun = run.clock, run.begin(APPLICATION)
    app: Application | None = None
    try:
        app = launcher.submit(_COMMAND, memory=MEMORY, name=NAME)
        times = _Times(begun, clock)
        reader = _LogReader(app)
        app.wait(launcher.timeout, poll=0.25, on_report=times.take)
        times.add("ended")
    except KnitError as error:
        yield _application_failed(app, error, clock.monotonic() - begun)
        return
    except BaseException as error:
        if app is not None:
            _end(app, f"its caller ended: {type(error).__name__}")
        raise
    yield run.result(APPLICATION, Finding(f"{app.id}: {times}"), "", clock.monotonic() - begun)
    begun = run.begin(LOGS)
    found = reader.wait(launcher.timeout, clock)
    yield run.result(LOGS, found, "", clock.monotonic() - begun)
    if isinstance(found, Finding):
        begun = run.begin(FUNCTION)
        yield run.result(FUNCTION, _call(launcher, reader.python), "", clock.monotonic() - begun)


class _Times:
    """When the application reached its states, in seconds since `begun`; made when it is accepted."""

    def __init__(self, begun: float, clock: Clock) -> None:
        self._begun, self._clock, self._seen = begun, clock, dict[str, float]()
        self.add("accepted")

    def add(self, what: str) -> None:
        self._seen.setdefault(what, self._clock.monotonic() - self._begun)

    def take(self, report: ApplicationReport) -> None:
        if report.state is State.RUNNING:
            self.add("running")

    def __str__(self) -> str:
        return ", ".join(f"{what} after {show_seconds(span)}" for what, span in self._seen.items())


class _LogReader:
    """Follows the application's logs in a thread of its own until the line of its container is there.

    Attributes:
        python: version of the node's python3 ("3.11"); "none"; empty: not known.
    """

    def __init__(self, app: Application) -> None:
        self.python, self._where = "", ""
        self._fault: Exception | None = None
        self._done = threading.Event()
        self._app = app
        threading.Thread(target=self._read, name="knit-doctor-logs", daemon=True).start()

    def _read(self) -> None:
        try:
            for line in self._app.logs(follow=True):
                found = _PYTHON.search(line.text)
                if found is not None:
                    self.python, self._where = found[1], f"{line.container} on {line.node}"
                    return
        except Exception as error:
            self._fault = error
        finally:
            self._done.set()

    def wait(self, timeout: float, clock: Clock) -> Finding | Exception:
        """What was read, or why nothing could be."""
        pause(self._done, timeout, clock)
        if not self._done.is_set():
            return WaitTimeout(f"the line that the container wrote was not there within {timeout:g} s")
        off = features_of(self._app.cluster.config.learn()).aggregation is False
        if self.python:
            return Finding(f"read the line of {self._where}", _OFF if off else "")
        return self._fault or KnitError(f"the log of {self._app.id} lacks the line that its container wrote")


def _call(launcher: Launcher, python: str) -> Finding | Exception:
    here = "{}.{}".format(*sys.version_info[:2])
    if python != here:
        there = "no python3" if python == "none" else f"Python {python}"
        return Finding(
            f"not checked: the node has {there}, and functions need Python {here} there: the one of an environment (env=…)",
            applies=False,
        )

    def answer() -> int:
        return 6 * 7

    try:
        value = launcher.call(answer, memory=FUNCTION_MEMORY, name=NAME, timeout=launcher.timeout)
    except Exception as error:
        return error if isinstance(error, KnitError) else KnitError(f"{type(error).__name__}: {error}")
    return (
        Finding("a function ran in a container and its value came back")
        if value == 42
        else KnitError(f"not 42: {value}")
    )


def _application_failed(app: Application | None, error: KnitError, seconds: float) -> LayerCheck:
    """End the application where it still is there, and tell why it waits or what it died of."""
    if app is None:
        return failed(APPLICATION, error, seconds=seconds)
    advice = ""
    with contextlib.suppress(KnitError):
        why = app.why()
        error = error if not isinstance(error, WaitTimeout) else WaitTimeout(f"{error}: {why.text}")
        advice = "; ".join(why.advice)
    left = _end(app, "knit doctor")
    return failed(APPLICATION, error, remedy=f"{advice}{'; ' if advice and left else ''}{left}", seconds=seconds)


def _end(app: Application, reason: str) -> str:
    """End the application; a sentence when it could not be ended. A second Ctrl-C does not wait for the end."""
    try:
        app.kill(reason)
    except KeyboardInterrupt:
        with contextlib.suppress(KnitError):
            app.cluster.resourcemanager.kill(app.id, reason)
        raise
    except KnitError as error:
        return f"{app.id} could not be ended, and may continue: {error}"
    return ""


__all__ = ["Launcher", "launch_layers"]
