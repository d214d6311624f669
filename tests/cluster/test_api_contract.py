"""The ApplicationMaster's API: every call direct and through the ResourceManager's proxy, and every forgery refused."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from knit_container.signing import container_token, encode_body, open_reply, query_string, sign
from knit_core import Application, Knit
from knit_core.errors import MasterUnreachable
from knit_core.local import LocalCluster
from tests.cluster_harness import eventually

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def running(cluster: LocalCluster) -> Iterator[Application]:
    """One application for all calls."""
    with Knit(cluster.resourcemanager_url, user="alice") as knit:
        app = knit.submit("sleep 600", instances=3, memory=128)
        app.wait_for_containers(3)
        yield app
        app.kill(grace=0)


class Wire:
    """Requests by hand, over one way."""

    def __init__(self, app: Application, way: str) -> None:
        report = app.report()
        self.base = f"http://{report.master}" if way == "direct" else report.tracking_url.rstrip("/")
        self.proxied = way == "proxy"
        self.secret = app.cluster.user_key.application_secret(app.id)
        self.attempt, self.session = report.attempt, requests.Session()
        self.session.trust_env = False

    def send(self, method: str, path: str, signed: dict[str, str], body: bytes = b"", **more: Any) -> requests.Response:
        query = dict(signed)
        if self.proxied:
            query["user.name"] = "alice"
        headers = {"Content-Type": "application/json"} if body else {}
        url = f"{self.base}{path}?{query_string(query)}"
        return self.session.request(method, url, data=body or None, headers=headers, timeout=20, **more)

    def call(
        self, method: str, path: str, body: Any = None, key: bytes | None = None, kid: str = "client"
    ) -> tuple[int, Any]:
        raw = b"" if body is None else encode_body(body)
        key = key or self.secret
        signed = sign(key, kid, self.attempt, method, path, {}, raw)
        response = self.send(method, path, signed, raw)
        return response.status_code, open_reply(key, signed["knonce"], response.status_code, response.content)


@pytest.fixture(params=["direct", "proxy"])
def wire(request: pytest.FixtureRequest, running: Application) -> Wire:
    return Wire(running, request.param)


def test_every_call(wire: Wire, running: Application) -> None:
    status, found = wire.call("GET", "/api/v1/application")
    assert (status, found["id"], found["user"], found["state"]) == (200, running.id, "alice", "RUNNING")
    status, found = wire.call("GET", "/api/v1/containers")
    assert status == 200
    before = sum(row["state"] == "RUNNING" for row in found["containers"])
    assert wire.call("PUT", "/api/v1/services/main/scale", {"instances": before + 1}) == (
        200,
        {"instances": before + 1},
    )
    last = max(row["instance"] for row in wire.call("GET", "/api/v1/containers")[1]["containers"])
    assert wire.call("PUT", f"/api/v1/containers/main_{last}/kill", {})[0] == 200
    assert wire.call("PUT", "/api/v1/progress", {"progress": 0.5, "metrics": {}}) == (200, {})
    assert wire.call("GET", "/api/v1/result")[0] == 200
    row = next(row for row in found["containers"] if row["state"] == "RUNNING")
    logs = f"/api/v1/containers/{row['yarn']}/logs"
    # a container that has just been started has no log files yet
    eventually(lambda: wire.call("GET", logs)[0] == 200, 30, "its log files")
    status, files = wire.call("GET", logs)
    assert (status, set(files), "stdout" in files["files"]) == (200, {"files", "uploaded"}, True)
    size = files["files"]["launch_container.sh"]
    status, part = wire.call("GET", f"{logs}/bGF1bmNoX2NvbnRhaW5lci5zaA")
    assert (status, part["offset"], part["size"]) == (200, 0, size)
    assert wire.call("GET", f"{logs}/Li4vc3Rkb3V0")[0] == 400
    assert wire.call("GET", "/api/v1/containers/container_1_0001_01_000002/logs")[0] == 404
    token = container_token(wire.secret, row["yarn"])
    assert wire.call("PUT", "/api/v1/result", {"value": {"text": "€ \n \\ %20 ;x"}}, token, row["yarn"]) == (200, {})
    assert wire.call("GET", "/api/v1/result")[1]["results"]["main"][str(row["instance"])] == {"text": "€ \n \\ %20 ;x"}


@pytest.mark.slow
def test_shutdown_over_each_way(clean_cluster: LocalCluster) -> None:
    for way in ("direct", "proxy"):
        with Knit(clean_cluster.resourcemanager_url, user="alice") as knit:
            app = knit.submit("sleep 600", memory=128)
            app.wait_for_containers(1)
            found = Wire(app, way).call("PUT", "/api/v1/shutdown", {"outcome": "SUCCEEDED", "diagnostics": way})
            assert found == (200, {"state": "STOPPING"})
            assert app.wait(timeout=30).diagnostics == way


def test_refusals(wire: Wire, running: Application) -> None:
    """Each with its status; the application goes on."""
    path = "/api/v1/application"
    good = sign(wire.secret, "client", wire.attempt, "GET", path)
    assert wire.send("GET", path, good).status_code == 200
    assert wire.send("GET", path, good).status_code == 401  # replayed
    assert wire.send("GET", path, {}).status_code == 401
    assert (
        wire.send("GET", path, {**sign(wire.secret, "client", wire.attempt, "GET", path), "ksig": "0" * 64}).status_code
        == 401
    )
    assert wire.send("GET", path, sign(b"x" * 32, "client", wire.attempt, "GET", path)).status_code == 401
    assert (
        wire.send("GET", "/api/v1/containers", sign(wire.secret, "client", wire.attempt, "GET", path)).status_code
        == 401
    )
    scale = "/api/v1/services/main/scale"
    moved = sign(wire.secret, "client", wire.attempt, "PUT", scale, {}, b'{"instances":3}')
    assert wire.send("PUT", scale, moved, b'{"instances":9}').status_code == 401
    other = running.cluster.user_key.application_secret("application_1_0001")
    assert wire.send("GET", path, sign(other, "client", wire.attempt, "GET", path)).status_code == 401
    for attempt, when in ((wire.attempt + 1, None), (wire.attempt, int(time.time() * 1000) - 10**7)):
        stale = sign(wire.secret, "client", attempt, "GET", path, now_ms=when)
        response = wire.send("GET", path, stale)
        assert response.status_code == 401
        reply = open_reply(wire.secret, stale["knonce"], 401, response.content)
        assert isinstance(reply, dict)
        assert (reply["error"], reply["attempt"]) == ("stale", wire.attempt)
    row = next(c for c in running.containers() if c.state == "RUNNING")
    token = container_token(wire.secret, row.yarn)
    assert wire.call("PUT", scale, {"instances": 9}, token, row.yarn)[0] == 403
    assert wire.call("GET", "/api/v1/nowhere")[0] == 404
    assert wire.call("PUT", "/api/v1/services/nope/scale", {"instances": 1})[0] == 404
    assert wire.call("PUT", scale, {"instances": -1})[0] == 400
    assert wire.call("PUT", scale, {"instances": "many"})[0] == 400
    assert wire.call("PUT", scale, {"wrong": 1})[0] == 400
    assert running.details()["state"] == "RUNNING"


def test_too_large_a_body(running: Application) -> None:
    wire = Wire(running, "direct")
    body = json.dumps({"value": "x" * (2 << 20)}).encode()
    signed = sign(wire.secret, "client", wire.attempt, "PUT", "/api/v1/progress", {}, body)
    with contextlib.suppress(requests.ConnectionError):  # it may hang up on the sender of so much
        assert wire.send("PUT", "/api/v1/progress", signed, body).status_code == 413
    assert running.details()["state"] == "RUNNING"


def test_noise_and_half_sent_requests_slow_nobody(running: Application) -> None:
    """Bytes at random, and 200 callers who send a half of a request each, some a large one: others are answered."""
    import random
    import socket

    host, port = running.report().master.split(":")
    noise, held = random.Random(7), []
    parts = [
        b"GET /api/v1/application HTTP/1.1\r\nHost: x\r\n",
        b"PUT /api/v1/kv/x HTTP/1.1\r\nContent-Length: 99\r\n\r\nabc",
        b"PUT /api/v1/kv/x HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n" + bytes(1_000_000),
        b"PUT /api/v1/kv/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n" + bytes(1_000_000) + b"\r\n",
        b"GET /api/v1/application HTTP/1.1\r\nX: " + b"x" * 1_000_000,
    ]
    try:
        for number in range(200):
            with socket.create_connection((host, int(port)), timeout=5) as one:
                one.sendall(noise.randbytes(noise.randrange(1, 400)) + b"\r\n\r\n")
            one = socket.create_connection((host, int(port)), timeout=5)
            held.append(one)
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):  # it need not take what it will not use
                one.sendall(parts[number % len(parts)])
        for _ in range(20):
            began = time.monotonic()
            assert running.details()["state"] == "RUNNING"
            running.kv["small"] = "goes through"
            # The server gives half-sent requests up after 10 s: whoever waits for that waits for them.
            assert time.monotonic() - began < 5
        running.kv["large"] = "x" * 200_000  # waits for room, and is repeated
        assert len(running.kv["large"]) == 200_000
        assert running.report().attempt == 1, "it ran out of memory"
    finally:
        for one in held:
            one.close()


def test_signed_nonsense_is_refused_and_changes_nothing(running: Application) -> None:
    """Whoever has the secret can still send what makes no sense: each with its status, the application goes on."""
    import random

    wire, noise = Wire(running, "direct"), random.Random(11)
    words = [
        "application",
        "containers",
        "events",
        "progress",
        "ready",
        "result",
        "services",
        "kv",
        "barriers",
        "pages",
        "x",
        "",
    ]
    ends = ["scale", "kill", "append", "delete", "main", "bWFpbg", "%", "..", "A" * 900]
    values = [None, -1, 10**30, 1.5, "x", [], {}, {"deep": [[[[]]]]}, True, "\u0000", "A" * 1000]
    keys = ["instances", "by", "value", "expect", "token", "progress", "metrics", "parties", "port", "path", "zzz"]
    before = (running.details()["services"]["main"]["instances"], running.kv.keys())
    seen = set()
    for _ in range(400):
        way = "/".join(part for part in [noise.choice(words), *noise.sample(ends, noise.randrange(3))])
        body = {noise.choice(keys): noise.choice(values) for _ in range(noise.randrange(3))}
        if way.startswith(("services/main/scale", "progress", "kv/")) or "kill" in way:
            body["zzz"] = 1  # an unknown key: what could have an effect has none
        method = noise.choice(["GET", "PUT"])
        raw = encode_body(body) if method == "PUT" else b""
        try:
            signed = sign(wire.secret, "client", wire.attempt, method, f"/api/v1/{way}", {}, raw)
        except ValueError:
            continue
        response = wire.send(method, f"/api/v1/{way}", signed, raw)
        seen.add(response.status_code)
        # 401: the client library makes another path of "..", which was not the one signed
        assert response.status_code in {200, 400, 401, 403, 404, 405, 409}, (method, way, body, response.text)
    assert {400, 404, 405} <= seen
    assert (running.details()["services"]["main"]["instances"], running.kv.keys()) == before


def test_a_clock_that_is_wrong_is_corrected(running: Application) -> None:
    """A client an hour ahead takes the ApplicationMaster's clock from its signed answer."""
    master = running.cluster.application_master(running.id)
    master._skew = 3_600_000
    assert master.get("/application")["id"] == running.id
    assert abs(master._skew) < 60_000


def test_the_proxy_is_the_way_when_the_direct_one_is_closed(running: Application) -> None:
    master = running.cluster.application_master(running.id)
    master._update_routes([])
    master._routes = ["http://127.0.0.1:1", master._routes[-1]]
    master._update_routes = lambda stages: None  # type: ignore[method-assign]
    assert master.get("/application")["id"] == running.id


def test_no_way_says_which_stage_failed(running: Application) -> None:
    master = running.cluster.application_master(running.id)
    master._update_routes([])
    master._routes = ["http://127.0.0.1:1"]
    master._update_routes = lambda stages: None  # type: ignore[method-assign]
    with pytest.raises(MasterUnreachable, match=r"directly at 127.0.0.1:1: connection refused"):
        master.get("/application")
