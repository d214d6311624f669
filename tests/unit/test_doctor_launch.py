"""`knit doctor`: what it launches, what it prints, and how it ends."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from knit_core import Application, Knit, LayerCheck
from knit_core.cli import knit as knit_command
from knit_core.cli.shared import show_errors
from knit_core.doctor import Launcher, diagnose
from knit_core.errors import WaitTimeout
from knit_core.hadoop.cluster import Cluster
from knit_core.model.states import State
from knit_core.monitoring.diagnosis import Why
from tests.fake_cluster import FakeCluster
from tests.unit.doctor_harness import (
    LABELS,
    Hadoop,
    closed_port,
    first_failure,
    hadoop,
    plain_environment,
    start,
)

__all__ = ["hadoop", "plain_environment", "start"]


# -- what is launched ---------------------------------------------------------------------------------------------------


class FakeLine:
    container, node = "main_0", "n1"

    def __init__(self, text: str) -> None:
        self.text = text


class FakeApp:
    """An application whose container wrote `lines`; `fault` is what `wait` raises."""

    id = "application_1_0001"

    def __init__(self, cluster: Cluster, lines: list[str], fault: BaseException | None = None) -> None:
        self.cluster, self.lines, self.fault = cluster, lines, fault
        self.kills: list[str] = []

    def logs(self, follow: bool) -> Iterator[FakeLine]:
        assert follow
        return map(FakeLine, self.lines)

    def wait(self, timeout: float, *, poll: float, on_report: Callable[[Any], None]) -> None:
        on_report(SimpleNamespace(state=State.RUNNING))
        if self.fault is not None:
            raise self.fault

    def why(self) -> Any:
        return Why("It has waited for 9 s", (), ("use another queue",))

    def kill(self, reason: str) -> bool:
        self.kills.append(reason)
        return True


HERE = "knit doctor: python {}.{}".format(*sys.version_info[:2])


def launched(
    hadoop: Hadoop, lines: list[str], fault: BaseException | None = None, answer: Any = None
) -> tuple[list[LayerCheck], list[Any]]:
    """The results, and what was launched: applications, and names of functions."""
    events: list[Any] = []
    with Knit(hadoop.address, user="alice") as knit:

        def submit(command: str, **_options: Any) -> Any:
            assert "python3 -c" in command
            events.append(FakeApp(knit.cluster, lines, fault))
            return events[-1]

        def call(function: Callable[[], Any], **_options: Any) -> Any:
            events.append("function")
            return function() if answer is None else answer()

        return list(diagnose(knit.cluster, Launcher(submit, call, 1.0), 5.0)), events


def test_a_container_its_log_and_a_function(hadoop: Hadoop) -> None:
    found, events = launched(hadoop, ["something else", HERE])
    assert [check.label for check in found] == LABELS
    application, logs, function = found[-3:]
    assert all(check.ok for check in found[-3:])
    assert re.fullmatch(
        r"application_1_0001: accepted after \S+ \w+, running after \S+ \w+, ended after \S+ \w+", application.text
    ), application.text
    assert logs.text == "read the line of main_0 on n1" and logs.remedy == ""
    assert "its value came back" in function.text
    assert len(events) == 2 and events[0].kills == []


def test_log_aggregation_that_is_off_is_told(hadoop: Hadoop) -> None:
    _, conf, _ = hadoop.reply("/conf", "", {})
    conf["properties"].append({"key": "yarn.log-aggregation-enable", "value": "false"})
    hadoop.replies["/conf"] = (200, conf, {})
    logs = launched(hadoop, [HERE])[0][-2]
    assert logs.ok and "log aggregation is off (yarn.log-aggregation-enable)" in logs.remedy


@pytest.mark.parametrize(("python", "words"), [("none", "has no python3"), ("2.7", "has Python 2.7")])
def test_nodes_without_a_fitting_python_run_no_function(python: str, words: str, hadoop: Hadoop) -> None:
    found, events = launched(hadoop, [f"knit doctor: python {python}"])
    assert found[-1].ok is None and words in found[-1].text and "env=" in found[-1].text
    assert len(events) == 1


def test_logs_that_cannot_be_read(hadoop: Hadoop) -> None:
    found, events = launched(hadoop, ["something else"])
    wrong = first_failure(found)
    assert wrong.label == "logs" and "lacks the line" in wrong.text
    assert len(events) == 1, "no function after that"


def test_a_function_that_fails(hadoop: Hadoop) -> None:
    def fail() -> None:
        raise ValueError("broken")

    wrong = first_failure(launched(hadoop, [HERE], answer=fail)[0])
    assert wrong.label == "function" and wrong.text == "ValueError: broken"


def test_an_application_that_does_not_start_is_ended_and_explained(hadoop: Hadoop) -> None:
    found, (app,) = launched(hadoop, [], WaitTimeout("application_1_0001 has not ended after 1 s"))
    wrong = first_failure(found)
    assert (wrong.label, wrong.error) == ("application", "WaitTimeout")
    assert "has not ended after 1 s: It has waited for 9 s" in wrong.text and wrong.remedy == "use another queue"
    assert app.kills == ["knit doctor"]


def test_ctrl_c_ends_the_application(hadoop: Hadoop) -> None:
    apps: list[FakeApp] = []
    with Knit(hadoop.address, user="alice") as knit:

        def submit(*_arguments: Any, **_options: Any) -> Any:
            apps.append(FakeApp(knit.cluster, [], KeyboardInterrupt()))
            return apps[-1]

        with pytest.raises(KeyboardInterrupt):
            list(diagnose(knit.cluster, Launcher(submit, lambda: None, 1.0), 5.0))
    assert [app.kills for app in apps] == [["its caller ended: KeyboardInterrupt"]]


def test_nothing_is_launched_after_a_failure(hadoop: Hadoop) -> None:
    hadoop.nodes = 0
    assert launched(hadoop, [HERE])[1] == []


# -- the command --------------------------------------------------------------------------------------------------------


def doctor(address: str, *options: str) -> int:
    return show_errors(knit_command, args=["--cluster", address, "--user", "alice", "doctor", *options])


def test_the_command_prints_a_line_for_each_layer(hadoop: Hadoop, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(hadoop.address, "--no-launch") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line[2:].partition("  ")[0] for line in lines if line[0] in "✓✗–"] == LABELS
    assert re.search(r"(?m)^✓ ResourceManager HTTP +status 200   \d+\.\d\d s$", out)
    assert re.search(r"(?m)^    user alice \(argument user\)$", out)
    assert "– application" in out and err == ""


def test_the_command_names_the_layer_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    address = f"http://127.0.0.1:{closed_port()}"
    assert doctor(address) == 1
    out, err = capsys.readouterr()
    assert f"✗ ResourceManager TCP             connect: no answer from the ResourceManager at {address}" in out
    assert "  → is it running there, and is this its web port?" in out
    assert "– nodes                           not checked" in out
    assert err.startswith("✗ ConnectionFailed: ResourceManager TCP failed")


def test_the_command_as_json(hadoop: Hadoop, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(hadoop.address, "--no-launch", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True and len(document["layers"]) == len(LABELS)
    hadoop.nodes = 0
    assert doctor(hadoop.address, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert [row["layer"] for row in document["layers"] if row["ok"] is False] == ["nodes"]


def test_a_configuration_that_cannot_be_read_is_the_first_layer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KNIT_AUTH", "magic")
    assert doctor("http://rm:8088") == 1
    out, err = capsys.readouterr()
    assert "✗ configuration                   auth 'magic' (KNIT_AUTH) is not supported" in out
    assert out.count("not checked") == len(LABELS) - 1
    assert err.startswith("✗ ConfigError: configuration failed")


def test_a_hanging_server_ends_by_the_time_out(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        begun = time.monotonic()
        assert doctor(f"http://127.0.0.1:{silent.getsockname()[1]}", "--timeout", "0.5") == 1
    assert time.monotonic() - begun < 5
    assert "✗ ResourceManager HTTP" in capsys.readouterr().out


class Killable(FakeCluster):
    """Applications of it can be killed."""

    def __init__(self) -> None:
        self.killed: list[tuple[str, str]] = []
        super().__init__()

    def _yarn(self, method: str, path: str, body: bytes) -> tuple[int, Any, str]:
        app_id = path.removeprefix("/ws/v1/cluster/apps/").removesuffix("/state")
        if path.endswith("/state") and method == "PUT":
            self.killed.append((app_id, json.loads(body).get("diagnostics", "")))
            return 202, {"state": "KILLED"}, ""
        status, reply, location = super()._yarn(method, path, body)
        if "app" in (reply if isinstance(reply, dict) else {}) and any(app_id == each for each, _ in self.killed):
            reply["app"].update(state="KILLED", finalStatus="KILLED")
        return status, reply, location


@pytest.fixture
def killable() -> Iterator[Killable]:
    cluster = Killable()
    yield cluster
    cluster.close()


def test_ctrl_c_ends_what_the_command_has_launched(
    killable: Killable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_arguments: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Application, "wait", interrupted)
    assert doctor(killable.address) == 130
    (app_id,) = killable.apps
    assert {each for each, _ in killable.killed} == {app_id}
    assert "✗ interrupted" in capsys.readouterr().err


def test_an_application_that_waits_too_long_is_ended(
    killable: Killable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("knit_core.doctor.diagnosis.LAUNCH_TIMEOUT", 1.0)
    assert doctor(killable.address, "--timeout", "1") == 1
    assert [app_id for app_id, _ in killable.killed][:1] == list(killable.apps)
    out, err = capsys.readouterr()
    assert "✗ application " in out and "– logs" in out
    assert err.startswith("✗ WaitTimeout: application failed")
