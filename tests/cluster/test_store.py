"""The key-value store, barriers and progress, from the client and from containers, direct and through the proxy."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator

import pytest

from knit_container import Conflict
from knit_core import Application, Knit, Outcome
from knit_core.local import LocalCluster
from tests.cluster_harness import eventually

pytestmark = pytest.mark.cluster
SMALL = {"memory": 128, "vcores": 1}


@pytest.fixture(scope="module")
def running(cluster: LocalCluster) -> Iterator[Application]:
    """One application for all that asks it only."""
    with Knit(cluster.resourcemanager_url, user="alice") as knit:
        app = knit.submit("sleep 600", **SMALL)
        app.wait_for_containers(1)
        yield app
        app.kill(grace=0)


@pytest.fixture(params=["direct", "proxy"])
def app(request: pytest.FixtureRequest, running: Application) -> Application:
    """The application over one way."""
    one = Application(running.cluster, running.id)
    one.details()
    master = one.master
    master._routes = [route for route in master._routes if ("/proxy/" in route) is (request.param == "proxy")]
    assert master._routes
    master._update_routes = lambda stages: None  # type: ignore[method-assign]
    return one


def test_values_of_every_kind_and_names_of_every_kind(app: Application) -> None:
    values = ["text", "€ \\ \n %20 ;x", 0, -1.5, True, None, [1, {"deep": []}], {"a": {"b": 1}}, "x" * 100_000]
    for number, value in enumerate(values):
        key = f"any/{number} €;?#%2F\u0000\n"
        app.kv[key] = value
        assert app.kv[key] == value
        assert key in app.kv
    assert len(app.kv.keys("any/")) == len(values)
    assert list(app.kv.prefix("any/").values()) == values
    for key in app.kv.keys("any/"):
        del app.kv[key]
    assert app.kv.keys("any/") == []
    with pytest.raises(KeyError):
        app.kv["any/0"]


def test_compare_and_set(app: Application) -> None:
    app.kv.delete("c")
    first = app.kv.put("c", 1, expect=0)
    with pytest.raises(Conflict) as caught:
        app.kv.put("c", 2, expect=0)
    assert caught.value.revision == first
    second = app.kv.put("c", 2, expect=first)
    assert second > first
    with pytest.raises(Conflict):
        app.kv.delete("c", expect=first)
    assert app.kv.delete("c", expect=second)
    assert not app.kv.delete("c")


@pytest.mark.race
def test_many_at_once_count_right(running: Application) -> None:
    running.kv.delete("count")

    def work() -> None:
        one = Application(running.cluster, running.id)
        for _ in range(20):
            one.kv.update("count", lambda value: value + 1, default=0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert running.kv["count"] == 80


def test_appended_numbers_are_given_once(running: Application) -> None:
    numbers: list[int] = []

    def work() -> None:
        one = Application(running.cluster, running.id)
        numbers.extend(one.kv.append("queue/", "x")[1] for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(30))


def test_a_call_whose_reply_was_lost_is_done_once(app: Application) -> None:
    """Each call comes twice, as after a lost reply, with calls of others between."""
    ways = {
        "/kv/YQ": {"value": 1},  # "a"
        "/kv/cS8/append": {"value": 1},  # "q/"
        "/kv/YQ/delete": {},
        "/services/main/scale": {"by": 1},
        "/containers/main_1/kill": {},
    }
    for key in app.kv.keys("q/"):
        app.kv.delete(key)
    calls = [(way, {**body, "token": secrets.token_hex(16)}) for way, body in ways.items()]
    first = [app.master.put(way, body) for way, body in calls]
    app.kv.put("a", "another")
    app.kv.append("q/", "another")
    app.kv.delete("other")
    instances = app.scale(by=1)
    assert [app.master.put(way, body) for way, body in calls] == first
    assert app.kv["a"] == "another"
    assert len(app.kv.keys("q/")) == 2
    assert app.services()["main"].instances == instances
    app.scale(1)


def test_waiting_for_a_key(app: Application) -> None:
    app.kv.delete("later")
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="'later' was not set within 1"):
        app.kv.wait("later", timeout=1.2)
    assert 1 < time.monotonic() - began < 5
    other = Application(app.cluster, app.id)
    timer = threading.Timer(0.5, lambda: other.kv.put("later", "now"))
    timer.start()
    assert app.kv.wait("later", timeout=30) == "now"
    timer.join()


def test_watching_a_prefix(app: Application) -> None:
    app.kv.put("watched/a", 1)
    seen: list[tuple[str, object, bool]] = []
    other = Application(app.cluster, app.id)

    def change() -> None:
        other.kv.put("watched/b", 2)
        other.kv.put("elsewhere", 3)
        other.kv.delete("watched/a")

    timer = threading.Timer(0.5, change)
    timer.start()
    for one in app.kv.watch("watched/", timeout=30):
        seen.append((one.key, one.value, one.deleted))
        if one.deleted:
            break
    timer.join()
    assert seen == [("watched/a", 1, False), ("watched/b", 2, False), ("watched/a", None, True)]
    app.kv.delete("watched/b")


def test_containers_share_it_and_meet_at_a_barrier(knit: Knit) -> None:
    """Rank 0 is late; nobody passes the barrier before it, and all see what it has written."""
    program = (
        "import knit_container as k, time\n"
        "if k.instance == 0: time.sleep(1.5); k.kv['greeting'] = 'hello from 0'\n"
        "else: k.kv.put('early/%d' % k.instance, time.time())\n"
        "k.barrier('all there', timeout=60)\n"
        "passed = time.time()\n"
        "k.progress(0.5, loss=0.25)\n"
        "k.result([k.kv.wait('greeting', timeout=30), passed])\n"
        "k.barrier('all there')\n"
    )
    app = knit.submit(["python3", "-c", program], instances=3, **SMALL)
    result = app.wait(timeout=60)
    assert result.outcome is Outcome.SUCCEEDED
    assert [value[0] for value in result.value] == ["hello from 0"] * 3
    events = {event.container: event for event in app.events() if event.kind == "container-started"}
    assert min(value[1] for value in result.value) * 1000 > events["main_0"].at + 1000


def test_shell_programs_use_the_command(knit: Knit) -> None:
    command = """
        set -e
        me="python3 -m knit_container"
        $me put shell/$KNIT_INSTANCE '{"rank": '$KNIT_INSTANCE'}'
        $me barrier everybody --timeout 60
        $me progress 0.5 loss=0.25
        $me get shell/1
        $me wait shell/0 --timeout 30
        $me get nothing && exit 1
        $me delete shell/$KNIT_INSTANCE
        $me result '"done '$KNIT_INSTANCE'"'
    """
    app = knit.submit(command, instances=2, **SMALL)
    assert app.wait(timeout=60).value == ["done 0", "done 1"]
    lines = sorted(line.text for line in app.logs() if line.stream == "stdout")
    assert lines == ['{"rank": 0}'] * 2 + ['{"rank": 1}'] * 2


def test_progress_and_metrics_show(knit: Knit) -> None:
    program = "import knit_container as k, time; k.progress(0.25 + k.instance / 2, loss=0.5); time.sleep(300)"
    app = knit.submit(["python3", "-c", program], instances=2, **SMALL)
    app.wait_for_containers(2)
    eventually(lambda: [c.progress for c in app.containers()] == [0.25, 0.75], 30, "both reported")
    assert [dict(c.metrics) for c in app.containers()] == [{"loss": 0.5}] * 2
    eventually(lambda: abs(app.report().progress - 0.5) < 0.01, 10, "YARN shows the mean")
    app.progress(0.9)
    eventually(lambda: abs(app.report().progress - 0.9) < 0.01, 10, "YARN shows what the client said")
    app.kill()


def test_a_page_of_a_container_is_listed(knit: Knit) -> None:
    program = "import knit_container as k, time; k.page('dash', 8787, '/status'); time.sleep(300)"
    app = knit.submit(["python3", "-c", program], **SMALL)
    app.wait_for_containers(1)
    pages = eventually(app.pages, 30, "the page")
    assert pages["dash"].endswith(f"/proxy/{app.id}/pages/dash/status")
    app.kill()
