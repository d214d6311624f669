"""Services on real daemons: who waits for whom, who is ready, who is restarted, how the application ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from knit_core import Application, Knit, Outcome
from knit_core.errors import ApplicationFailed, RequestRefused, WaitTimeout
from knit_core.local import LocalCluster
from tests.cluster_harness import eventually

pytestmark = pytest.mark.cluster
SMALL = {"memory": 128, "vcores": 1}
SERVE = "import http.server as h; h.HTTPServer(('', {port}), h.SimpleHTTPRequestHandler).serve_forever()"


def submit(knit: Knit, services: dict[str, dict[str, Any]], **more: Any) -> Application:
    return knit.submit({"services": {name: {**SMALL, **service} for name, service in services.items()}, **more})


def when(app: Application, kind: str, container: str) -> int:
    """The number of the first event of this kind."""
    return next(event.number for event in app.events() if (event.kind, event.container) == (kind, container))


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("way", ["started", "succeeded"])
def test_a_service_starts_after_the_other(knit: Knit, way: str) -> None:
    app = submit(
        knit,
        {
            "first": {"command": "sleep 1" if way == "succeeded" else "sleep 300", "instances": 2},
            "second": {"command": "true", "depends_on": {"first": way}},
        },
        completion=["second"],
    )
    assert app.wait(timeout=60).outcome is Outcome.SUCCEEDED
    done = "container-ended" if way == "succeeded" else "container-started"
    for other in ("first_0", "first_1"):
        assert when(app, done, other) < when(app, "container-requested", "second_0")


@pytest.mark.parametrize("way", ["http", pytest.param("tcp", marks=pytest.mark.slow), "command", "report"])
def test_a_service_starts_when_the_other_is_ready(knit: Knit, tmp_path: Path, way: str) -> None:
    """Not before a moment that the test chooses."""
    port, flag = free_port(), tmp_path / "go"
    tmp_path.chmod(0o755)
    waits = f"until [ -e {flag} ]; do sleep 0.1; done"
    readiness, command = {
        "http": ({"http": {"port": port, "path": "/"}}, f'{waits}; exec python3 -c "{SERVE.format(port=port)}"'),
        "tcp": ({"tcp": port}, f'{waits}; exec python3 -c "{SERVE.format(port=port)}"'),
        "command": ({"command": f"test -e {flag}"}, "sleep 300"),
        "report": ({"report": True}, f"{waits}; python3 -m knit_container ready; sleep 300"),
    }[way]
    app = submit(
        knit,
        {
            "server": {"command": command, "readiness": {**readiness, "interval": 0.2}},  # type: ignore[dict-item]
            "client": {"command": "true", "depends_on": ["server"]},
        },
        completion=["client"],
    )
    eventually(lambda: app.report().master and app.services()["server"].running == 1, 30, "the server runs")
    time.sleep(1.0)  # long enough for several looks, none of which may succeed
    services = app.services()
    assert (services["server"].state, services["server"].ready) == ("STARTING", 0)
    assert services["client"].state == "WAITING"
    flag.touch()
    assert app.wait(timeout=60).outcome is Outcome.SUCCEEDED
    assert when(app, "container-ready", "server_0") < when(app, "container-requested", "client_0")


def test_what_does_not_become_ready_has_failed(knit: Knit) -> None:
    app = submit(knit, {"main": {"command": "sleep 300", "readiness": {"report": True, "deadline": "1 s"}}})
    with pytest.raises(ApplicationFailed, match=r"was not ready within 1\.0 s"):
        app.wait(timeout=60)


def test_wait_until_ready(knit: Knit) -> None:
    app = submit(
        knit,
        {
            "main": {"command": "sleep 1; python3 -m knit_container ready; sleep 300", "readiness": {"report": True}},
            "never": {"command": "sleep 300", "readiness": {"report": True}},
        },
    )
    assert app.wait_until_ready("main", timeout=60)["main"].ready == 1
    with pytest.raises(WaitTimeout, match="never STARTING"):
        app.wait_until_ready(timeout=2)
    app.kill()


def test_failed_instances_are_restarted_within_a_limit(knit: Knit) -> None:
    restart = {"policy": "on-failure", "limit": 2, "first_delay": 0.2}
    command = "echo attempt $KNIT_ATTEMPT; [ $KNIT_INSTANCE = 0 ] && exit 0; [ $KNIT_ATTEMPT -ge 3 ] || { echo no >&2; exit 5; }"
    app = submit(knit, {"main": {"command": command, "instances": 2, "restart": restart}})
    result = app.wait(timeout=60)
    assert [(c.id, c.attempt, c.exit_code) for c in sorted(result.containers, key=lambda c: (c.id, c.attempt))] == [
        ("main_0", 1, 0), ("main_1", 1, 5), ("main_1", 2, 5), ("main_1", 3, 0),
    ]  # fmt: skip
    app = submit(knit, {"main": {"command": "echo so sorry >&2; exit 5", "restart": restart}})
    with pytest.raises(ApplicationFailed, match="so sorry") as caught:
        app.wait(timeout=60)
    assert caught.value.exit_code == 5
    assert caught.value.result is not None
    assert [c.attempt for c in caught.value.result.containers] == [1, 2, 3]


@pytest.mark.slow
def test_exit_codes_of_success_and_of_final_failure(knit: Knit) -> None:
    again = {"policy": "on-failure", "limit": 9, "first_delay": 0.1}
    app = submit(knit, {"main": {"command": "exit 42", "success_codes": [0, 42], "restart": again}})
    assert app.wait(timeout=60).outcome is Outcome.SUCCEEDED
    app = submit(knit, {"main": {"command": "exit 7", "fatal_codes": [7], "restart": again}})
    with pytest.raises(ApplicationFailed):
        app.wait(timeout=60)
    assert [c.attempt for c in app.containers()] == [1]


def test_completion_and_services_that_may_fail(knit: Knit) -> None:
    """A server that is restarted always and a helper that fails do not keep the application from succeeding."""
    services = {
        "server": {"command": "sleep 0.5", "restart": {"policy": "always", "first_delay": 0.1}},
        "helper": {"command": "exit 3", "required": False},
        "work": {"command": "sleep 3"},
    }
    app = submit(knit, services, completion=["work"])  # type: ignore[arg-type]
    result = app.wait(timeout=60)
    assert result.outcome is Outcome.SUCCEEDED
    assert len([c for c in result.containers if c.service == "server"]) >= 2
    assert [c.exit_code for c in result.containers if c.service == "helper"] == [3]


def test_waiting_in_vain_is_a_failure(knit: Knit) -> None:
    services = {
        "first": {"command": "exit 4", "required": False},
        "second": {"command": "true", "depends_on": {"first": "succeeded"}},
    }
    with pytest.raises(
        ApplicationFailed, match="second cannot start, a service that it depends on has failed: first_0"
    ):
        submit(knit, services, completion=["second"]).wait(timeout=60)


def test_a_gang_starts_with_all_or_none(knit: Knit) -> None:
    """Two nodes of 8 GiB: four of 3 GiB fit, the fourth only after somebody has left."""
    filler = knit.submit("sleep 300", memory="7 GiB", name="filler")
    filler.wait_for_containers(1)
    gang = submit(knit, {"main": {"command": "sleep 1", "instances": 4, "memory": "3 GiB", "gang": "3 min"}})
    eventually(lambda: gang.report().master and "HELD" in {str(c.state) for c in gang.containers()}, 30, "some held")
    time.sleep(1.0)
    assert {str(c.state) for c in gang.containers()} == {"HELD", "REQUESTED"}
    filler.kill(grace=0)
    assert gang.wait(timeout=60).outcome is Outcome.SUCCEEDED
    starts = [c.started_at or 0 for c in gang.containers()]
    assert max(starts) - min(starts) < 5000


@pytest.mark.slow
def test_a_gang_that_is_not_given_in_time_fails_and_holds_nothing(knit: Knit) -> None:
    filler = knit.submit("sleep 300", memory="7 GiB", name="filler")
    filler.wait_for_containers(1)
    gang = submit(knit, {"main": {"command": "sleep 1", "instances": 4, "memory": "3 GiB", "gang": "3 s"}})
    with pytest.raises(ApplicationFailed, match=r"only [123] of 4 containers were given within 3 s"):
        gang.wait(timeout=60)
    assert all(c.started_at is None for c in gang.containers())
    filler.kill(grace=0)


def test_a_graceful_stop(knit: Knit) -> None:
    program = (
        "import signal, sys, time\n"
        "def stop(*_):\n    print('saving', flush=True); time.sleep(1.5); print('saved', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop); print('ready', flush=True)\n"
        "while True: time.sleep(0.1)\n"
    )
    app = submit(knit, {"main": {"command": ["python3", "-c", program], "stop_grace": "20 s"}})
    eventually(lambda: app.report().master and any(li.text == "ready" for li in app.logs()), 30, "it runs")
    app.shutdown("SUCCEEDED")
    assert app.wait(timeout=60).outcome is Outcome.SUCCEEDED
    assert [line.text for line in app.logs() if line.stream == "stdout"] == ["ready", "saving", "saved"]


def test_a_stop_that_is_not_heard_ends_all_the_same(knit: Knit) -> None:
    command = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"
    app = submit(knit, {"main": {"command": command, "stop_grace": "1 s"}})
    eventually(lambda: app.report().master and any(li.text == "deaf" for li in app.logs()), 30, "it hears nothing")
    began = time.monotonic()
    app.shutdown("SUCCEEDED")
    assert app.wait(timeout=60).outcome is Outcome.SUCCEEDED
    assert time.monotonic() - began > 1


@pytest.mark.slow
def test_a_node_where_containers_keep_failing_is_avoided(knit: Knit) -> None:
    restart = {"policy": "on-failure", "limit": 20, "first_delay": 0.1, "longest_delay": 0.2}
    command = '[ "$NM_HOST" = 127.0.0.2 ] && exit 1; sleep 3'
    app = submit(knit, {"main": {"command": command, "instances": 6, "restart": restart}}, node_failures=2)
    result = app.wait(timeout=120)
    assert result.outcome is Outcome.SUCCEEDED
    failures = [c for c in result.containers if c.exit_code == 1]
    if failures:  # YARN may have put all of them on the good node in the first place
        assert {c.host for c in failures} == {"127.0.0.2"}
    if len(failures) >= 2:
        avoided = when(app, "node-avoided", "")
        asked = [e.number for e in app.events() if e.kind == "container-allocated" and "127.0.0.2" in e.detail]
        late = [number for number in asked if number > avoided]
        assert len(late) <= 6, "only what had been given before"


def test_scale_by_a_difference(knit: Knit) -> None:
    app = submit(knit, {"main": {"command": "sleep 300"}, "other": {"command": "sleep 300", "instances": 2}})
    app.wait_for_containers(3)
    assert app.scale(by=2, service="other") == 4
    assert app.scale(by=-3, service="other") == 1
    with pytest.raises(RequestRefused, match="it cannot have -1"):
        app.scale(by=-2)
    with pytest.raises(ValueError, match="instances or by"):
        app.scale()
    eventually(lambda: app.services()["other"].running == 1, 30, "one other runs")
    assert app.services()["main"].instances == 1
    app.kill()


@pytest.mark.slow
def test_a_service_that_manages_scales_another_from_inside(knit: Knit) -> None:
    program = (
        "import knit_container as k, time\n"
        "assert k.scale('worker', by=2) == 2\n"
        "[k.kv.wait('tried/%d' % rank, timeout=60) for rank in (0, 1)]\n"
        "k.kill_container('worker_0')\n"
        "k.shutdown('SUCCEEDED', 'done by ' + k.service)\n"
        "time.sleep(300)\n"
    )
    me = "python3 -m knit_container"
    work = f"{me} scale worker 9; {me} put tried/$KNIT_INSTANCE true; sleep 300"
    app = submit(
        knit,
        {
            "boss": {"command": ["python3", "-c", program], "manages": True},
            "worker": {"command": work, "instances": 0},
        },
    )
    result = app.wait(timeout=60)
    assert (result.outcome, result.diagnostics) == (Outcome.SUCCEEDED, "done by boss")
    refused = [line.text for line in app.logs() if line.container.startswith("worker") and line.stream == "stderr"]
    assert any("refused (403)" in text for text in refused)


def test_move_to_another_queue(knit: Knit) -> None:
    app = knit.submit("sleep 300", queue="default", **SMALL)
    app.wait_for_containers(1)
    app.move("science")
    assert app.report().queue.endswith("science")
    with pytest.raises(RequestRefused, match="There is no queue 'nowhere'"):
        app.move("nowhere")
    app.kill()


def test_events_are_followed_and_kept(knit: Knit) -> None:
    app = submit(knit, {"main": {"command": "sleep 1"}})
    eventually(lambda: app.report().master, 30, "it runs")
    seen = list(app.events(follow=True))
    assert [event.number for event in seen] == list(range(1, len(seen) + 1))
    kinds = [event.kind for event in seen]
    for kind in ("started", "registered", "container-requested", "container-started", "container-ended", "finished"):
        assert kind in kinds
    assert list(app.events()) == seen
    assert list(app.events(after=3)) == seen[3:]


def test_why_it_waits_and_why_it_ended(knit: Knit) -> None:
    filler = [knit.submit("sleep 300", memory="7 GiB", name="filler") for _ in range(2)]
    for app in filler:
        app.wait_for_containers(1)
    waiting = knit.submit("sleep 300", memory="7 GiB")
    eventually(lambda: "asked for" in str(waiting.why()), 30, "it says that it waits")
    assert "no node has that left" in str(waiting.why())
    for app in (*filler, waiting):
        app.kill("make room", grace=0)
    ended = str(waiting.why())
    assert ended.startswith("Killed")
    failed = knit.submit("python3 -c 'import nothing_like_it'", **SMALL)
    failed.wait(timeout=60, check=False)
    assert "lacks 'nothing_like_it'" in str(failed.why())


@pytest.mark.slow
def test_the_commands_for_a_running_application(knit: Knit, clean_cluster: LocalCluster) -> None:
    base = [sys.executable, "-m", "knit_core", "--cluster", clean_cluster.resourcemanager_url, "--user", "alice"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    app = submit(knit, {"main": {"command": "sleep 300"}, "other": {"command": "sleep 300"}})
    app.wait_for_containers(2)

    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run([*base, *words], capture_output=True, text=True, timeout=60, check=False, env=environment)
        return done.returncode, done.stdout + done.stderr

    assert run("scale", app.id, "other", "+2") == (0, "✓ other has 3 instances\n")
    assert run("scale", app.id, "3")[0] == 2
    assert "name one of its services: main, other" in run("scale", app.id, "othr", "3")[1]
    assert run("kv", "put", app.id, "a", '{"b": 1}')[0] == 0
    assert run("kv", "get", app.id, "a") == (0, '{"b": 1}\n')
    assert run("kv", "get", app.id, "nope")[0] == 1
    assert run("kv", "get", app.id, "nope", "--wait", "1")[0] == 4
    assert run("kv", "put", app.id, "a", "text", "--expect", "0")[0] == 1
    assert run("kv", "list", app.id) == (0, 'a\t{"b": 1}\n')
    assert run("kv", "delete", app.id, "a")[0] == 0
    assert "container-started" in run("events", app.id)[1]
    assert "other" in run("status", app.id)[1]
    assert "It runs" in run("why", app.id)[1]
    assert run("move", app.id, "--queue", "science")[0] == 0
    assert "There is no queue 'sciense'" in run("move", app.id, "--queue", "sciense")[1]
    app.kill()
