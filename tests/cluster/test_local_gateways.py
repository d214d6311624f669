"""Embedded clusters with Knox, with HttpFS, and of another version of Hadoop: the main job on each."""

from __future__ import annotations

import os
import socket
import ssl
import urllib.error
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

import pytest

from knit_core import Knit, Outcome, State
from knit_core.local import LocalCluster, LocalClusterError
from tests.cluster_harness import client_of, eventually, own_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(300)]
SMALL = {"memory": 128, "vcores": 1}


def variables(patch: pytest.MonkeyPatch, cluster: LocalCluster, user: str) -> None:
    """Set what `eval "$(knit local env)"` sets, and nothing else that names a cluster."""
    for name in [name for name in os.environ if name.startswith(("KNIT_", "HADOOP_"))]:
        patch.delenv(name)
    for name, value in cluster.environment.items():
        patch.setenv(name, value)
    patch.setenv("KNIT_USER", user)


def lines_of(knit: Knit, app_id: str) -> list[str]:
    return [line.text for line in knit.attach(app_id).logs(streams=["stdout"])]


@pytest.fixture(scope="module")
def knox() -> Iterator[LocalCluster]:
    with own_cluster("knox", {}, ("default",), nodes=1, knox=True) as cluster:
        yield cluster


@pytest.fixture
def through_knox(knox: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Knit]:
    """Alice's client, which cannot connect to another port than the gateway's."""
    variables(monkeypatch, knox, "alice")
    monkeypatch.setenv("KNIT_PASSWORD", knox.password("alice"))
    port, connect = urlsplit(knox.knox_url).port, socket.socket.connect

    def only_the_gateway(self: socket.socket, address: tuple[str, int]) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[1] != port:
            raise ConnectionRefusedError(f"the test refuses {address}")
        connect(self, address)

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", only_the_gateway)
        with Knit() as client:
            yield client


def test_a_program_runs_through_the_gateway_alone(through_knox: Knit) -> None:
    app = through_knox.submit("echo hello from $USER", **SMALL)
    assert app.wait(timeout=120).outcome is Outcome.SUCCEEDED
    assert app.report().user == "alice"
    assert eventually(lambda: lines_of(through_knox, app.id), 60, "its logs") == ["hello from alice"]


def test_a_key_and_a_kill_through_the_gateway(through_knox: Knit) -> None:
    app = through_knox.submit("sleep 600", key="through-knox", **SMALL)
    assert through_knox.submit("sleep 600", key="through-knox", **SMALL).id == app.id
    eventually(lambda: app.report().state is State.RUNNING, 60, "it runs")
    assert app.kill("enough")
    assert app.wait(timeout=60, check=False).outcome is Outcome.KILLED


def test_who_may_log_in_at_the_gateway(knox: LocalCluster) -> None:
    context = ssl.create_default_context(cafile=str(knox.state_dir / "knox" / "ca.pem"))
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))

    def status(user: str, password: str) -> int:
        login = b64encode(f"{user}:{password}".encode()).decode()
        address = f"{knox.knox_url}/webhdfs/v1/?op=GETHOMEDIRECTORY"
        try:
            with opener.open(Request(address, headers={"Authorization": f"Basic {login}"}), timeout=20) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    assert status("alice", knox.password("alice")) == 200
    assert status("alice", knox.password("bob")) == 401
    knox.add_user("carol")
    assert status("carol", knox.password("carol")) == 200
    for path in knox.state_dir.glob("logs/*"):
        assert knox.password("alice") not in path.read_text(errors="replace"), path


def test_a_gateway_that_died_comes_back_with_the_same_passwords(knox: LocalCluster) -> None:
    before = knox.password("alice")
    knox.kill("knox")
    assert knox.dead == ["knox"]
    assert knox.up().running
    assert knox.password("alice") == before


@pytest.fixture(scope="module")
def httpfs() -> Iterator[LocalCluster]:
    """It gets HttpFS while it runs."""
    with own_cluster("httpfs", {}, ("default",), nodes=1) as cluster:
        cluster.up(httpfs=True)
        yield cluster


def test_a_program_and_functions_by_way_of_httpfs(httpfs: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    variables(monkeypatch, httpfs, "alice")
    with Knit() as client:
        assert client.config.namenodes.value == httpfs.httpfs_url
        app = client.submit("echo hello", key="by-httpfs", **SMALL)
        assert client.submit("echo hello", key="by-httpfs", **SMALL).id == app.id
        assert app.wait(timeout=120).outcome is Outcome.SUCCEEDED
        assert eventually(lambda: lines_of(client, app.id), 60, "its logs") == ["hello"]
        assert client.map(lambda x: x * x, [1, 2, 3], workers=2, memory=256, timeout=120) == [1, 4, 9]


def test_httpfs_restarts_as_other_daemons_do(httpfs: LocalCluster) -> None:
    httpfs.kill("httpfs")
    assert [daemon.state for daemon in httpfs.status().daemons if daemon.name == "httpfs"] == ["dead"]
    assert httpfs.up().running
    assert httpfs.restart(["httpfs"]).running
    assert any("webhdfs" in line for line in httpfs.logs("httpfs", 200))


def test_the_main_job_on_hadoop_3_3() -> None:
    with own_cluster("hadoop-3.3", {}, ("default",), nodes=1, hadoop="3.3.6") as cluster, client_of(cluster) as client:
        app = client.submit("echo hello", **SMALL)
        assert app.wait(timeout=120).outcome is Outcome.SUCCEEDED
        assert eventually(lambda: lines_of(client, app.id), 60, "its logs") == ["hello"]
        assert client.map(lambda x: x * x, [1, 2, 3], workers=2, memory=256, timeout=120) == [1, 4, 9]
        assert cluster.status().hadoop == "3.3.6"
        assert cluster.restart(["namenode"]).hadoop == "3.3.6"
        with pytest.raises(LocalClusterError, match=r"made with Hadoop 3\.3\.6"):
            cluster.up(hadoop="3.4.2")
