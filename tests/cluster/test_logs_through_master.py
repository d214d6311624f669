"""Logs of a running application whose nodes this machine cannot reach: the ApplicationMaster reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import requests

from knit_core import Knit
from knit_core.errors import ConnectionFailed
from knit_core.hadoop.http import DirectTransport
from knit_core.logs.live.nodemanager import NodeLogs
from tests.cluster_harness import eventually

pytestmark = pytest.mark.cluster
LINES = [f"line {number}" for number in range(1, 20_001)]


@pytest.fixture(params=["direct", "proxy"])
def hidden_nodes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No NodeManager can be reached; with `proxy` nothing but the ResourceManager and HDFS can."""

    def no_answer(self: Any, *_call: Any, **_more: Any) -> Any:
        raise ConnectionFailed("no answer", address=self._base)

    def refused(*_call: Any, **_more: Any) -> Any:
        raise requests.ConnectionError("refused")

    monkeypatch.setattr(NodeLogs, "_get", no_answer)
    if request.param == "proxy":
        monkeypatch.setattr(DirectTransport, "send", refused)


@pytest.mark.usefixtures("hidden_nodes")
def test_followed_live_each_line_once(knit: Knit) -> None:
    app = knit.submit("seq -f 'line %.0f' 1 20000; echo oh >&2; sleep 8; printf end", instances=2, memory=64)
    try:
        seen: dict[str, list[str]] = {}
        live = False
        for line in app.logs(follow=True):
            assert line.stream != "knit", line.text
            texts = seen.setdefault(f"{line.container} {line.stream}", [])
            texts.append(line.text)
            if line.text == LINES[-1]:
                live = live or not app.report().ended
        assert live, "the lines came after the end"
        assert seen == {
            **{f"main_{rank} stdout": [*LINES, "end"] for rank in (0, 1)},
            **{f"main_{rank} stderr": ["oh"] for rank in (0, 1)},
        }
    finally:
        app.kill(grace=0)


@pytest.mark.usefixtures("hidden_nodes")
def test_the_masters_own_logs_whole_files_and_a_watch(knit: Knit) -> None:
    app = knit.submit("echo out; sleep 600", memory=64)
    try:
        app.wait_for_containers(1)

        def texts(containers: Sequence[str]) -> list[str]:
            return [line.text for line in app.logs(containers=containers) if line.stream != "knit"]

        eventually(lambda: texts(["main_0"]) == ["out"], 30, "the container's line")
        eventually(lambda: any("first container started" in text for text in texts(["master"])), 30, "the master's")
        files = {file.stream: b"".join(file) for file in app.log_files(containers=["main_0"])}
        assert files == {"stdout": b"out\n", "stderr": b""}
        watch = app.watch_logs()
        assert [line.text for line in watch.look()] == ["out"]
        watch.close()
    finally:
        app.kill(grace=0)
