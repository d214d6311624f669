"""A cluster whose default filesystem is a viewfs: staging, results and logs are found through its mount table."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from knit_core import Knit, Outcome
from knit_core.local import LocalCluster
from tests.cluster_harness import client_of, eventually, own_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
SMALL = {"memory": 128, "vcores": 1}


def _settings(_folder: Path) -> Mapping[str, str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    table = "fs.viewfs.mounttable.all.link."
    return {
        "fs.defaultFS": "viewfs://all",
        "dfs.namenode.rpc-address": address,
        f"{table}/user": f"hdfs://{address}/user",
        f"{table}/tmp": f"hdfs://{address}/tmp",
        f"{table}/logs": f"hdfs://{address}/tmp/logs",
        "yarn.nodemanager.remote-app-log-dir": "/logs",
    }


@pytest.fixture(scope="module")
def view() -> Iterator[LocalCluster]:
    with own_cluster("viewfs", _settings, nodes=1) as cluster:
        yield cluster


@pytest.fixture
def alice(view: LocalCluster) -> Iterator[Knit]:
    with client_of(view) as knit:
        yield knit


def test_a_program_runs_and_its_logs_are_read_after_the_end(alice: Knit) -> None:
    app = alice.submit("echo hello; hello=$(date)", key="viewfs", **SMALL)
    assert app.wait(timeout=120).outcome is Outcome.SUCCEEDED
    assert eventually(lambda: [line.text for line in app.logs()], 60, "its aggregated logs") == ["hello"]
    assert alice.submit("echo hello; hello=$(date)", key="viewfs", **SMALL).id == app.id


def test_functions_return_their_values(alice: Knit) -> None:
    assert alice.map(lambda x: x * x, range(4), workers=1, timeout=120, **SMALL) == [0, 1, 4, 9]
