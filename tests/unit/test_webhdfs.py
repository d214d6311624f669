"""WebHDFS against servers on the loopback that play a NameNode and a DataNode: what each reply means."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from knit_container import hdfs as container_hdfs
from knit_core.errors import (
    ConnectionFailed,
    KnitError,
    NotAuthorized,
    RequestRefused,
    ServiceUnavailable,
    UnexpectedReply,
)
from knit_core.hadoop.http import Endpoint, HttpService, RetryPolicy, SimpleAuth
from knit_core.hadoop.webhdfs import WebHdfs
from tests.unit.hdfs_harness import Answer, Reply, Server, done, file_status, namenode, refusal, serve

__all__ = ["serve"]

QUICK = RetryPolicy(budget=3.0, first=0.01, longest=0.02)


@pytest.fixture
def client() -> Iterator[Callable[..., WebHdfs]]:
    made: list[WebHdfs] = []

    def make(*addresses: str, retry: RetryPolicy = QUICK) -> WebHdfs:
        made.append(WebHdfs(HttpService(Endpoint("NameNode", addresses, SimpleAuth("alice")), retry)))
        return made[-1]

    yield make
    for hdfs in made:
        hdfs.http.close()


PASSING = [
    refusal("ConnectException", "Call From node1 to nn:8020 failed on connection exception"),
    refusal("RetriableException", "NameNode still not started"),
    refusal("SafeModeException", "Name node is in safe mode"),
    refusal("IOException", "Unable to close file because the last block does not have enough number of replicas."),
    refusal("RemoteException_of_HttpFS_ConnectException".rpartition("_")[2], status=500),
    (503, "<html>Service Unavailable</html>", {"Content-Type": "text/html"}),
]
NO_DATANODE = refusal("IOException", "Failed to find datanode, suggest to check cluster health.")


@pytest.mark.parametrize("fault", PASSING)
def test_an_upload_outlives_a_restart_of_the_namenode_behind_the_datanode(
    fault: Reply, serve: Callable[[Answer], Server], client: Callable[..., WebHdfs]
) -> None:
    replies = [fault, fault, (201, "", {})]
    datanode = serve(lambda operation, path: replies.pop(0))
    hdfs = client(serve(namenode(datanode.address)).address)
    assert hdfs.publish("/user/alice/x", lambda: iter([b"a", b"b"]))
    assert len(datanode.asked) == 3
    assert len({path for _, path in datanode.asked}) == 3  # each try under a name of its own


@pytest.mark.parametrize("fault", [*PASSING[:3], *PASSING[4:], NO_DATANODE])
def test_an_upload_outlives_a_restart_of_the_namenode_itself(
    fault: Reply, serve: Callable[[Answer], Server], client: Callable[..., WebHdfs]
) -> None:
    datanode = serve(lambda operation, path: (201, "", {}))
    content = namenode(datanode.address)
    left = {"CREATE": 2} if "datanode" in fault[1] else {"CREATE": 2, "RENAME": 2, "GETFILESTATUS": 1}

    def answer(operation: str, path: str) -> Reply:
        left[operation] = left.get(operation, 0) - 1
        return fault if left[operation] >= 0 else content(operation, path)

    assert client(serve(answer).address).publish("/user/alice/x", b"x")


def test_a_fault_that_stays_is_one_that_passes_by_its_kind(
    serve: Callable[[Answer], Server], client: Callable[..., WebHdfs]
) -> None:
    datanode = serve(lambda operation, path: refusal("ConnectException"))
    hdfs = client(serve(namenode(datanode.address)).address, retry=RetryPolicy(budget=0.2, first=0.01, longest=0.02))
    with pytest.raises(ServiceUnavailable, match=rf"the DataNode at {datanode.address} does not serve now") as caught:
        hdfs.publish("/user/alice/x", b"x")
    assert caught.value.transient
    assert caught.value.address == datanode.address


def test_a_dead_datanode_is_named(serve: Callable[[Answer], Server], client: Callable[..., WebHdfs]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        server = serve(namenode(dead))
        hdfs = client(server.address, retry=RetryPolicy(budget=0.2, first=0.01, longest=0.02))
        for call in (lambda: hdfs.publish("/user/alice/x", b"x"), lambda: hdfs.write("/user/alice/x", b"x")):
            with pytest.raises(
                ConnectionFailed, match=rf"no answer from the DataNode at {dead} \(connection refused\)"
            ) as caught:
                call()
            assert server.address not in str(caught.value)


def test_refusals_are_refusals_with_any_status(
    serve: Callable[[Answer], Server], client: Callable[..., WebHdfs]
) -> None:
    replies = {
        "/denied": refusal("AccessControlException", "Permission denied: user=alice", 500),
        "/both": refusal("IOException", "Source and destination must both be directories"),
        "/quota": refusal("DSQuotaExceededException", "quota", 500),
    }
    server = serve(lambda operation, path: replies[path])
    hdfs = client(server.address)
    kinds: dict[str, type[KnitError]] = {"/denied": NotAuthorized, "/both": RequestRefused, "/quota": RequestRefused}
    for path, kind in kinds.items():
        with pytest.raises(kind) as caught:
            hdfs.mkdirs(path)
        assert not caught.value.transient
    assert len(server.asked) == 3  # none was tried again


@pytest.mark.parametrize(
    "reply",
    [
        (200, "<html>log in</html>", {"Content-Type": "text/html"}),
        (200, "{}", {"Content-Type": "application/json"}),
        (200, "[]", {"Content-Type": "application/json"}),
    ],
)
def test_success_without_an_answer_is_none(
    reply: Reply, serve: Callable[[Answer], Server], client: Callable[..., WebHdfs]
) -> None:
    hdfs = client(serve(lambda operation, path: reply).address)
    for call in (
        lambda: hdfs.status("/x"), lambda: hdfs.list("/x"), lambda: hdfs.mkdirs("/x"), lambda: hdfs.delete("/x"),
        lambda: hdfs.rename_new("/x", "/y"), hdfs.home, lambda: hdfs.publish("/x", b"x"),
    ):  # fmt: skip
        with pytest.raises(UnexpectedReply, match="does not serve WebHDFS"):
            call()


@pytest.fixture
def httpfs(serve: Callable[..., Server]) -> tuple[Server, set[str]]:
    """One that renames as HttpFS does, whatever the options: to a free name only, with its answer in the body."""
    files: set[str] = set()
    datanode = serve(lambda operation, path: (files.add(path), (201, "", {}))[1])

    def answer(operation: str, path: str) -> Reply:
        there = path in files
        if operation == "RENAME":
            target = server.targets[-1]
            if not there or target in files:
                return done(False)
            files.remove(path)
            files.add(target)
            return done()
        if operation == "DELETE":
            files.discard(path)
            return done(there)
        if operation == "GETFILESTATUS":
            return file_status() if there else refusal("FileNotFoundException", status=404)
        return namenode(datanode.address)(operation, path)

    server = serve(answer)
    return server, files


def test_a_server_without_a_rename_that_overwrites(
    httpfs: tuple[Server, set[str]], client: Callable[..., WebHdfs], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, files = httpfs
    hdfs = client(server.address)
    for _ in range(2):
        hdfs.replace("/apps/1/note.json", b"x")
        assert files == {"/apps/1/note.json"}
    assert hdfs.publish("/apps/1/note.json", b"y") is False
    assert files == {"/apps/1/note.json"}
    monkeypatch.setenv("KNIT_MASTER_FILE", f"{server.address}/webhdfs/v1/apps/1/master")
    for _ in range(2):
        container_hdfs.write_bytes("results/0", b"x")
        assert files == {"/apps/1/note.json", "/apps/1/results/0"}


@pytest.mark.parametrize("overwrites", [True, False])
def test_a_rename_whose_reply_was_lost_is_done(
    overwrites: bool, serve: Callable[..., Server], client: Callable[..., WebHdfs]
) -> None:
    files: set[str] = set()
    datanode = serve(lambda operation, path: (files.add(path), (201, "", {}))[1])

    def answer(operation: str, path: str) -> Reply:
        if operation == "RENAME":
            if path not in files:
                return refusal("FileNotFoundException", status=404) if overwrites else done(False)
            files.remove(path)
            files.add(server.targets[-1])
            return 0, "", {}
        if operation == "GETFILESTATUS":
            return file_status() if path in files else refusal("FileNotFoundException", status=404)
        return namenode(datanode.address)(operation, path)

    server = serve(answer)
    hdfs = client(server.address)
    hdfs.replace("/a/x", b"x")
    assert files == {"/a/x"}
    if not overwrites:
        assert hdfs.publish("/a/y", b"y")
        assert files == {"/a/x", "/a/y"}


def test_a_reply_that_breaks_in_its_middle_is_asked_for_again(
    serve: Callable[[Answer], Server], client: Callable[..., WebHdfs]
) -> None:
    replies: list[Reply] = [(200, "half", {"Content-Length": "8"}), (200, "complete", {})]
    assert client(serve(lambda operation, path: replies.pop(0)).address).read("/x") == b"complete"


def test_a_false_that_is_in_doubt_is_looked_into(
    serve: Callable[[Answer], Server], client: Callable[..., WebHdfs]
) -> None:
    """`false` of a rename, and then the NameNode does not serve for a moment: no answer is taken for "not there"."""
    looks = [refusal("SafeModeException"), refusal("AccessControlException")]

    def answer(operation: str, path: str) -> Reply:
        if operation == "RENAME":
            return done(False)
        return looks.pop(0) if looks else file_status()

    with pytest.raises(NotAuthorized):
        client(serve(answer).address).rename_new("/source", "/target")
    assert client(serve(answer).address).rename_new("/source", "/target") is False


@pytest.mark.parametrize("reply", [(0, "", {}), (503, "<html>busy</html>", {"Content-Type": "text/html"})])
def test_what_is_sent_once_goes_to_no_second_namenode_after_a_lost_reply(
    reply: Reply, serve: Callable[[Answer], Server], client: Callable[..., WebHdfs]
) -> None:
    first, second = serve(lambda operation, path: reply), serve(lambda operation, path: done())
    for call in (lambda hdfs: hdfs.mkdir_once("/x"), lambda hdfs: hdfs.rename_once("/x", "/y")):
        with pytest.raises((ConnectionFailed, ServiceUnavailable)):
            call(client(first.address, second.address))
    assert (len(first.asked), second.asked) == (2, [])


def test_what_is_sent_once_goes_on_to_the_namenode_that_serves(
    serve: Callable[[Answer], Server], client: Callable[..., WebHdfs]
) -> None:
    standby, active = serve(lambda operation, path: refusal("StandbyException")), serve(lambda operation, path: done())
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
        hdfs = client(dead, standby.address, active.address)
        hdfs.mkdir_once("/x")
        assert hdfs.rename_once("/x", "/y")
    assert active.asked == [("MKDIRS", "/x"), ("RENAME", "/x")]
    assert standby.asked == [("MKDIRS", "/x")]


def test_operations_of_the_library_and_our_own_go_on_to_the_namenode_that_serves(
    serve: Callable[[Answer], Server], client: Callable[..., WebHdfs]
) -> None:
    def answer(operation: str, path: str) -> Reply:
        if operation == "LISTSTATUS":
            return 200, '{"FileStatuses": {"FileStatus": []}}', {"Content-Type": "application/json"}
        return file_status() if operation == "GETFILESTATUS" else done()

    standby, active = serve(lambda operation, path: refusal("StandbyException")), serve(answer)
    hdfs = client(standby.address, active.address)
    assert hdfs.list("/x") == []
    assert hdfs.status("/x") is not None
    hdfs.mkdirs("/x")
    assert hdfs.delete("/x")
    with pytest.raises(ServiceUnavailable, match="does not serve now") as caught:
        client(standby.address, retry=RetryPolicy(budget=0)).list("/x")
    assert caught.value.not_carried_out
