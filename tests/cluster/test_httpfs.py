"""Behind HttpFS as behind a NameNode: one claim wins, what replaces a file does so, refusals are refusals."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from knit_container import hdfs as container_hdfs
from knit_core import Knit, State
from knit_core.errors import NotAuthorized, NotFound, RequestRefused
from knit_core.hadoop.http.auth import SimpleAuth
from knit_core.hadoop.http.service import Endpoint, HttpService
from knit_core.hadoop.webhdfs import WebHdfs
from knit_core.launch.ledger import Ledger
from knit_core.local import LocalCluster

pytestmark = pytest.mark.cluster

ROUNDS = 16
SERVERS = ("namenode", "httpfs")


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, cluster: LocalCluster) -> str:
    """The address of a NameNode, then that of an HttpFS in front of it."""
    return str(request.getfixturevalue("httpfs")) if request.param == "httpfs" else cluster.status().namenode_url


def _client(address: str) -> WebHdfs:
    return WebHdfs(HttpService(Endpoint("NameNode", (address,), SimpleAuth("alice"))))


@pytest.fixture
def folder(cluster: LocalCluster) -> Iterator[str]:
    """A folder on HDFS of the test's own."""
    name = f"/user/alice/httpfs-{uuid.uuid4().hex[:12]}"
    hdfs = _client(cluster.status().namenode_url)
    hdfs.mkdirs(name)
    yield name
    hdfs.delete(name, recursive=True)
    hdfs.http.close()


@pytest.fixture
def clients(server: str) -> Iterator[list[WebHdfs]]:
    """Two clients, as two hosts have them."""
    both = [_client(server), _client(server)]
    yield both
    for hdfs in both:
        hdfs.http.close()


def _race(calls: list[Callable[[], Any]]) -> list[Any]:
    """Their values; all begin at one moment."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        gate.wait(10)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(60) for future in [pool.submit(run, call) for call in calls]]


@pytest.mark.race
def test_of_two_claims_of_a_number_one_wins(clients: list[WebHdfs], folder: str) -> None:
    ledgers = [Ledger(hdfs, folder) for hdfs in clients]
    for number in range(1, ROUNDS + 1):
        found = _race([partial(ledger.claim, "key", number, "application_1_0001") for ledger in ledgers])
        winners = [claim for claim in found if claim is not None]
        assert len(winners) == 1, (number, found)
        newest = ledgers[0].newest("key")
        assert newest is not None
        assert (newest.number, newest.nonce) == (number, winners[0].nonce)
    left = [status.name for status in clients[0].list(ledgers[0].folder("key"))]
    assert not [name for name in left if name.endswith(".tmp")]


@pytest.mark.race
def test_of_two_that_replace_a_file_the_content_of_one_is_there(clients: list[WebHdfs], folder: str) -> None:
    path = f"{folder}/note.json"
    stop = threading.Event()
    seen: set[bytes | None] = set()

    def read() -> None:
        with ThreadPoolExecutor(1) as pool:  # a session of its own
            while not stop.is_set():
                seen.add(pool.submit(clients[0].read_replaced, path).result())

    clients[0].replace(path, b"first")
    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(ROUNDS // 4):
            contents = [f"{number} of {name}".encode() * 100 for name in ("one", "two")]
            _race([partial(hdfs.replace, path, content) for hdfs, content in zip(clients, contents, strict=True)])
            assert clients[0].read(path) in contents
    finally:
        stop.set()
        reader.join(30)
    allowed = {f"{number} of {name}".encode() * 100 for number in range(ROUNDS // 4) for name in ("one", "two")}
    assert seen <= {b"first", *allowed}  # never nothing, never half
    assert [status.name for status in clients[0].list(folder)] == ["note.json"]


@pytest.mark.race
def test_a_container_replaces_what_is_there(
    server: str, clients: list[WebHdfs], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNIT_MASTER_FILE", f"{server}/webhdfs/v1{folder}/master")
    monkeypatch.setenv("HADOOP_USER_NAME", "alice")
    for number in range(ROUNDS // 4):
        contents = [f"{number} of {name}".encode() * 100 for name in ("one", "two")]
        _race([partial(container_hdfs.write_bytes, "results/0", content) for content in contents])
        assert clients[0].read(f"{folder}/results/0") in contents
    status = clients[0].status(f"{folder}/results/0")
    assert status is not None and status.permission == "600"
    assert [each.name for each in clients[0].list(f"{folder}/results")] == ["0"]


def test_a_refusal_is_no_fault_that_passes(
    server: str, clients: list[WebHdfs], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.monotonic()
    monkeypatch.setenv("KNIT_MASTER_FILE", f"{server}/webhdfs/v1{folder}/master")
    monkeypatch.setenv("HADOOP_USER_NAME", "bob")
    with pytest.raises(container_hdfs.HdfsFault, match="Permission denied"):
        container_hdfs.write_bytes("results/0", b"x")
    with pytest.raises(NotAuthorized, match="Permission denied"):
        clients[0].write("/by-alice", b"x")
    clients[0].write(f"{folder}/there", b"x")
    with pytest.raises(RequestRefused) as caught:
        clients[0].write(f"{folder}/there", b"y")
    assert caught.value.exception == "FileAlreadyExistsException"
    assert not caught.value.transient
    clients[0].mark(f"{folder}/there")
    assert clients[0].delete(f"{folder}/there") and not clients[0].delete(f"{folder}/there")
    assert time.monotonic() - begun < 15  # nothing was tried again until a limit


def test_what_stands_in_the_way_of_a_rename_is_said(clients: list[WebHdfs], folder: str) -> None:
    hdfs = clients[0]
    hdfs.write(f"{folder}/source", b"x")
    with pytest.raises(NotFound, match="nowhere is not there"):
        hdfs.rename_new(f"{folder}/source", f"{folder}/nowhere/target")
    with pytest.raises(NotFound, match="missing is not there"):
        hdfs.rename_new(f"{folder}/missing", f"{folder}/target")
    assert hdfs.rename_new(f"{folder}/source", f"{folder}/target")
    assert hdfs.rename_new(f"{folder}/source", f"{folder}/target")  # as if the first reply had been lost
    hdfs.write(f"{folder}/source", b"y")
    assert not hdfs.rename_new(f"{folder}/source", f"{folder}/target")
    assert hdfs.read(f"{folder}/target") == b"x"
    hdfs.mkdirs(f"{folder}/folder")
    for put in (hdfs.publish, hdfs.replace):
        with pytest.raises(RequestRefused, match=r"folder|director"):
            put(f"{folder}/folder", b"x")
    assert hdfs.list(f"{folder}/folder") == []


@pytest.mark.race
def test_a_program_with_a_key_runs_once(clean_cluster: LocalCluster, httpfs: str) -> None:
    """Two processes at once: one application, and both end well."""
    key, environment = uuid.uuid4().hex, {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "KNIT_USER": "alice"}
    environment.update(KNIT_RESOURCEMANAGER=clean_cluster.resourcemanager_url, KNIT_NAMENODE=httpfs)
    command = [sys.executable, "-m", "knit_core", "run", "--key", key, "--memory", "128", "--tag", f"once-{key}"]
    both = [
        subprocess.Popen(
            [*command, "--", "echo", "hello"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ended = [(*process.communicate(timeout=120), process.returncode) for process in both]
    said = "\n".join(f"{code}: {output}{errors}" for output, errors, code in ended)
    assert [code for _, _, code in ended] == [0, 0], said
    assert all("hello" in output for output, _, _ in ended), said
    with Knit(clean_cluster.resourcemanager_url, user="alice") as knit:
        assert len(knit.list(states=list(State), tags=[f"once-{key}"])) == 1


def _double(number: int) -> int:
    return 2 * number


@pytest.mark.slow
@pytest.mark.parametrize("containers", SERVERS)
def test_values_of_functions_come_back(containers: str, clean_cluster: LocalCluster, httpfs: str) -> None:
    """Containers write to the NameNode that the cluster's configuration names, or to HttpFS, as the setting says."""
    options = {"namenode": httpfs, **({"container_namenode": httpfs} if containers == "httpfs" else {})}
    with Knit(clean_cluster.resourcemanager_url, user="alice", options=options) as knit:
        used = httpfs if containers == "httpfs" else clean_cluster.namenode_url
        assert knit.config.container_namenodes.value == used
        assert knit.map(_double, [1, 2, 3], workers=2, memory=256) == [2, 4, 6]
