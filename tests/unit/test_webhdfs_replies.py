"""What WebHDFS answers, read however it is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from knit_core.errors import RequestRefused, UnexpectedReply
from knit_core.hadoop.http import Endpoint, HttpService, RetryPolicy, SimpleAuth, Tls
from knit_core.hadoop.webhdfs import WebHdfs
from tests.unit.hdfs_harness import Server, namenode, self_signed, serve

__all__ = ["serve"]

ROW = {"pathSuffix": "a", "length": 3, "modificationTime": 5, "type": "FILE", "owner": "alice", "permission": "600"}


def _hdfs(reply: Any) -> WebHdfs:
    endpoint = Endpoint("NameNode", ("http://nn:9870",), SimpleAuth("alice"))
    made = WebHdfs(HttpService(endpoint, RetryPolicy(budget=0)))
    made.session.operate = lambda method, path, **params: SimpleNamespace(json=lambda: reply)  # type: ignore
    made.client = SimpleNamespace(status=lambda path: reply["FileStatus"])
    return made


@pytest.mark.parametrize("found", [[ROW], ROW, {**ROW, "length": "3", "modificationTime": "5"}])
def test_a_folder_with_one_entry(found: Any) -> None:
    (status,) = _hdfs({"FileStatuses": {"FileStatus": found}}).list("/x")
    assert (status.path, status.size, status.modified, status.owner) == ("/x/a", 3, 5, "alice")


@pytest.mark.parametrize("found", [{"FileStatus": []}, {"FileStatus": ""}, {"FileStatus": None}, {}, None, ""])
def test_an_empty_folder(found: Any) -> None:
    assert _hdfs({"FileStatuses": found}).list("/x") == []


def test_a_file_is_no_folder() -> None:
    with pytest.raises(RequestRefused, match="/x is not a folder"):
        _hdfs({"FileStatuses": {"FileStatus": [{**ROW, "pathSuffix": ""}]}}).list("/x")


@pytest.mark.parametrize("reply", [{}, [], {"about": "something else"}, None])
def test_what_is_no_webhdfs_is_not_taken_for_an_empty_folder(reply: Any) -> None:
    for ask in (lambda: _hdfs(reply).list("/x"), lambda: _hdfs(reply).status("/x")):
        with pytest.raises(UnexpectedReply, match="the server at http://nn:9870 does not serve WebHDFS"):
            ask()


def test_nothing_is_sent_to_a_datanode_without_https(serve: Callable[..., Server], tmp_path: Path) -> None:
    datanode = serve(lambda operation, path: (201, "", {}))
    server = serve(namenode(datanode.address), self_signed(tmp_path))
    endpoint = Endpoint("NameNode", (server.address,), SimpleAuth("alice"), Tls(ca=str(tmp_path / "ca.pem")))
    client = WebHdfs(HttpService(endpoint, RetryPolicy(budget=0)))
    with pytest.raises(
        UnexpectedReply, match=f"redirects to {datanode.address}, which is not encrypted.*dfs.http.policy"
    ):
        client.write("/user/alice/x", b"secret")
    assert datanode.asked == []
