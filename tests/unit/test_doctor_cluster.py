"""`Knit.diagnose_connection`: the layers of the cluster (HDFS, tokens, queue, nodes), time-outs, and Airflow's connection test."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from knit_core import Knit
from knit_core.doctor.runner import in_threads
from knit_core.errors import NotAuthorized
from tests.unit.doctor_harness import (
    FREE,
    QUEUE,
    Hadoop,
    checks,
    closed_port,
    first_failure,
    hadoop,
    plain_environment,
    start,
)
from tests.unit.hdfs_harness import refusal

__all__ = ["hadoop", "plain_environment", "start"]


# -- HDFS, queue, nodes -------------------------------------------------------------------------------------------------


def test_safe_mode(hadoop: Hadoop) -> None:
    status, body, headers = refusal("SafeModeException", "Cannot create file. Name node is in safe mode.")
    hadoop.replies["CREATE"] = (status, body, headers)
    wrong = first_failure(checks(hadoop.address))
    assert (wrong.label, wrong.error) == ("HDFS", "ServiceUnavailable")
    assert "is in safe mode" in wrong.text and "hdfs dfsadmin -safemode get" in wrong.remedy


def test_a_staging_folder_of_another_user(hadoop: Hadoop) -> None:
    row = {"type": "DIRECTORY", "owner": "bob", "permission": "700", "length": 0, "modificationTime": 1}
    hadoop.replies["GETFILESTATUS"] = (200, {"FileStatus": row}, {})
    wrong = first_failure(checks(hadoop.address))
    assert (wrong.label, wrong.error) == ("HDFS", "StagingError")
    assert "/user/alice/.knit on HDFS belongs to bob" in wrong.text
    assert "CREATE" not in hadoop.asked


def test_a_datanode_that_cannot_be_reached(hadoop: Hadoop) -> None:
    there = f"http://127.0.0.1:{closed_port()}"
    hadoop.replies["CREATE"] = (307, "", {"Location": f"{there}/webhdfs/v1/x?op=CREATE"})
    wrong = first_failure(checks(hadoop.address))
    assert wrong.label == "HDFS" and f"no answer from the DataNode at {there}" in wrong.text


def test_all_namenodes_are_standbys(hadoop: Hadoop) -> None:
    for operation in ("GETFILESTATUS", "LISTSTATUS", "CREATE", "MKDIRS"):
        hadoop.replies[operation] = refusal(
            "StandbyException", "Operation category READ is not supported in state standby"
        )
    found = checks(hadoop.address)
    assert first_failure(found).label == "HDFS"
    assert "standby" in next(check.text for check in found if check.label == "HDFS who answers")


def test_a_queue_that_is_stopped_or_missing_or_full(hadoop: Hadoop) -> None:
    hadoop.queue = {**QUEUE, **FREE, "queueName": "science", "queuePath": "root.science", "state": "STOPPED"}
    wrong = first_failure(checks(hadoop.address, queue="science"))
    assert (wrong.label, wrong.error) == ("queue", "QueueRefused") and "is stopped" in wrong.text
    wrong = first_failure(checks(hadoop.address, queue="sience"))
    assert "There is no queue 'sience'" in wrong.text and "root.science" in wrong.text
    (queue,) = [check for check in checks(hadoop.address) if check.label == "queue"]
    assert queue.ok and "no queue is named" in queue.text and queue.remedy
    hadoop.queue = {**QUEUE, **FREE, "resourcesUsed": {"memory": 8100, "vCores": 2}}
    (queue,) = [check for check in checks(hadoop.address) if check.label == "queue"]
    assert queue.ok and "full now" in queue.remedy
    hadoop.replies["/ws/v1/cluster/scheduler"] = (403, "", {})
    (queue,) = [check for check in checks(hadoop.address) if check.label == "queue"]
    assert queue.ok is None and "only administrators" in queue.text


def test_no_node_runs(hadoop: Hadoop) -> None:
    hadoop.nodes = 0
    wrong = first_failure(checks(hadoop.address))
    assert (wrong.label, wrong.text) == ("nodes", "no NodeManager is running (1 LOST)")
    assert "NodeManagers" in wrong.remedy


def test_a_reply_that_is_not_understood_is_a_failure_of_its_layer(hadoop: Hadoop) -> None:
    hadoop.replies["/ws/v1/cluster/metrics"] = (200, {"other": 1}, {})
    wrong = first_failure(checks(hadoop.address))
    assert (wrong.label, wrong.error) == ("nodes", "KnitError") and "KeyError" in wrong.text


def test_requests_are_not_repeated(hadoop: Hadoop) -> None:
    hadoop.replies["/ws/v1/cluster/scheduler"] = (503, "", {})
    wrong = first_failure(checks(hadoop.address))
    assert (wrong.label, wrong.error) == ("queue", "ServiceUnavailable") and "answered 503" in wrong.text
    assert hadoop.asked.count("/ws/v1/cluster/scheduler") == 1


def test_kerberos_needs_tokens(hadoop: Hadoop) -> None:
    _, conf, _ = hadoop.reply("/conf", "", {})
    conf["properties"].append({"key": "hadoop.security.authentication", "value": "kerberos"})
    hadoop.replies["/conf"] = (200, conf, {})
    hadoop.replies["GETDELEGATIONTOKEN"] = (200, {"Token": None}, {})
    wrong = first_failure(checks(hadoop.address))
    assert (wrong.label, wrong.error) == ("tokens", "UnexpectedReply")
    assert "did not answer with a token" in wrong.text


# -- time-outs ----------------------------------------------------------------------------------------------------------


def test_a_call_that_does_not_end_is_left() -> None:
    begun = time.monotonic()
    results = in_threads([30.0, 0.0], time.sleep, 0.2)
    assert time.monotonic() - begun < 2
    assert isinstance(results[0], TimeoutError) and results[1] is None


def test_a_name_server_that_does_not_answer(hadoop: Hadoop, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr("knit_core.doctor.probes.socket.getaddrinfo", lambda *_args, **_options: released.wait(20))
    try:
        wrong = first_failure(checks(hadoop.address, 0.3))
    finally:
        released.set()
    assert (wrong.label, wrong.error) == ("ResourceManager DNS", "WaitTimeout")
    assert wrong.text == "no result within 0.3 s"


# -- Airflow ------------------------------------------------------------------------------------------------------------


def test_the_connection_test_of_airflow(hadoop: Hadoop, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("airflow")
    from knit_airflow.hooks import knit as hooks

    def tested(address: str) -> tuple[bool, str]:
        with Knit(address, user="alice") as client:
            monkeypatch.setattr(hooks.KnitHook, "get_conn", lambda _self: client)
            return hooks.KnitHook("c").test_connection()

    worked, message = tested(hadoop.address)
    assert worked and "ResourceManager (active), Hadoop 3.4.2" in message
    assert (
        "user: alice" in message and "HDFS: home folder /user/alice" in message and "nodes: 2 NodeManagers" in message
    )
    assert "/ws/v1/cluster/apps" not in hadoop.asked
    worked, message = tested("http://nowhere.invalid:8088")
    assert not worked and message.startswith("ResourceManager DNS: ") and "nowhere.invalid" in message
    hadoop.nodes = 0
    assert tested(hadoop.address)[1].startswith("nodes: no NodeManager is running")
    monkeypatch.setattr(hooks, "_TEST_TIME", 0.0)
    worked, message = tested(hadoop.address)
    assert not worked and "answers too slowly" in message

    def misconfigured(_self: Any) -> Any:
        raise NotAuthorized("no")

    monkeypatch.setattr(hooks.KnitHook, "get_conn", misconfigured)
    assert hooks.KnitHook("c").test_connection() == (False, "configuration: no")
