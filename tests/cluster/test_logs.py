"""Logs on real daemons: every format of aggregation byte for byte, rolling, following across faults, and what is said
when something cannot be had.

One cluster of its own: its nodes differ in how they aggregate, so that one application's logs come in all forms, and in
size, so that a container's memory says on which node it runs.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from knit_core import Application, Knit
from knit_core.errors import LogsUnavailable
from knit_core.local import LocalCluster
from knit_core.local.configuration_files import node_dir
from knit_core.logs import LogCursor, LogLine
from tests.cluster_harness import eventually, no_class_archives

pytestmark = pytest.mark.cluster

_FORMATS = {1: ("TFile", "none"), 2: ("TFile", "gz"), 3: ("IFile", "none"), 4: ("IFile", "gz")}
_SILENT = 5  # the node that aggregates nothing
_BIG = "10 GiB"  # fits on that node alone
_QUARTER = "3 GiB"  # two of these on each of the others
_ROLL = "yarn.nodemanager.log-aggregation.roll-monitoring-interval-seconds"


def _settings() -> dict[str, str]:
    found = {
        "yarn.log-aggregation.file-controller.IFile.class": (
            "org.apache.hadoop.yarn.logaggregation.filecontroller.ifile.LogAggregationIndexedFileController"
        ),
        _ROLL: "1",
        f"{_ROLL}.min": "1",
        "yarn.scheduler.maximum-allocation-mb": "16384",
        "yarn.nm.liveness-monitor.expiry-interval-ms": "5000",
        f"nodemanager-{_SILENT}:yarn.nodemanager.resource.memory-mb": "12288",
        f"nodemanager-{_SILENT}:yarn.log-aggregation-enable": "false",
    }
    for node, (name, compression) in _FORMATS.items():
        own = "nodemanager" if node == 1 else f"nodemanager-{node}"
        found[f"{own}:yarn.log-aggregation.file-formats"] = name
        found[f"{own}:yarn.nodemanager.log-aggregation.compression-type"] = compression
    return found


@pytest.fixture(scope="module")
def many() -> Iterator[LocalCluster]:
    """Four nodes: TFile and IFile, packed and not; a fifth one, which does not aggregate, can be added."""
    given = os.environ.get("KNIT_TEST_LOGS_CLUSTER")
    if given:
        yield LocalCluster(given)
        return
    with tempfile.TemporaryDirectory(prefix="knit-logs-") as folder, no_class_archives():
        own = LocalCluster(Path(folder) / "state")
        try:
            own.up(nodes=4, recovery=True, settings=_settings())
            own.add_user("alice")
            yield own
        finally:
            own.down(delete=True)


@pytest.fixture
def alice(many: LocalCluster, request: pytest.FixtureRequest) -> Iterator[Knit]:
    """Knit as alice; a test's applications are ended after it."""
    with Knit(many.resourcemanager_url, user="alice") as knit:
        yield knit
        for report in knit.list():
            knit.attach(report.id).kill(grace=0)


PROGRAM = """
import os, random, sys
rank, folder, size = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
chance = random.Random(rank)
pieces = [b"plain %d\\n" % rank, b"no utf-8: \\xff\\xfe\\x80\\n", b"\\0\\0NUL\\0\\n", b"\\r", b"dos\\r\\n", b"\\r\\r\\n", b"\\n\\n",
          "é€𝄞\\n".encode() * 9, bytes(range(256)), b"End of LogType:stdout\\n***\\n", b"LogLength:5\\nLogContents:\\n"]
def content(stream):
    if rank % 4 == 3 and stream == 1:
        return b""
    made = bytearray()
    while len(made) < size:
        if chance.random() < 0.002:
            made += "€".encode() * chance.randrange(1 << 18)  # a line too long to hold, without a newline
        made += b"%d " % len(made) + chance.choice(pieces) * chance.randrange(1, 50)
    return bytes(made) if rank % 2 else bytes(made).rstrip(b"\\n")
for stream, name in ((1, "stdout"), (2, "stderr")):
    data = content(stream)
    with open(f"{folder}/{rank}.{name}", "wb") as file:
        file.write(data)
    for at in range(0, len(data), 70001):
        os.write(stream, data[at:at + 70001])
"""


def _launch(knit: Knit, folder: Path, size: int, instances: int = 8, memory: str = _QUARTER) -> Application:
    (folder / "program.py").write_text(PROGRAM)
    copies = folder / "copies"
    copies.mkdir()
    command = f"exec python3 program.py $KNIT_INSTANCE {copies} {size}"
    return knit.submit(command, instances=instances, memory=memory, files=[str(folder / "program.py")])


def _copies(folder: Path) -> dict[str, bytes]:
    return {f"main_{path.name}": path.read_bytes() for path in (folder / "copies").iterdir()}


def _joined(lines: Iterable[LogLine]) -> dict[str, str]:
    """The text of each stream as the lines give it, `\\r` before a newline left out as they do."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        found[f"{line.container}.{line.stream}"] += [line.text, "\n" if line.ended else ""]
    return {name: "".join(texts) for name, texts in found.items()}


def _text(data: bytes) -> str:
    return data.replace(b"\r\n", b"\n").decode("utf-8", "replace")


def _same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """A short message for long contents."""
    assert sorted(found) == sorted(expected)
    for name in expected:
        assert len(found[name]) == len(expected[name]), name
        assert found[name] == expected[name], name


def test_all_formats_byte_for_byte(alice: Knit, many: LocalCluster, tmp_path: Path) -> None:
    """Followed while it runs, read after its end, and as files: always what the containers wrote."""
    app = _launch(alice, tmp_path, 300_000)
    followed = list(app.logs(follow=True))
    result = app.wait(timeout=60)
    copies = _copies(tmp_path)
    assert len(copies) == 16
    nodes = {row.host for row in result.containers}
    assert nodes == {"localhost", "127.0.0.2", "127.0.0.3", "127.0.0.4"}
    _same({file.name: b"".join(file) for file in app.log_files()}, copies)
    texts = {name: _text(data) for name, data in copies.items() if data}
    _same(_joined(app.logs()), texts)
    _same(_joined(followed), texts)
    last = list(app.logs(tail=3, containers=["main_1"], streams=["stderr"]))
    assert len(last) == 3
    assert texts["main_1.stderr"].endswith("".join(line.text + "\n" * line.ended for line in last))
    found = {entry.path.split("/")[4] for folder in _folders(alice, app) for entry in alice.hdfs.list(folder)}
    assert found == {"bucket-logs-tfile", "bucket-logs-ifile"}


@pytest.mark.slow
def test_a_hundred_megabytes_byte_for_byte(alice: Knit, many: LocalCluster, tmp_path: Path) -> None:
    app = _launch(alice, tmp_path, 7_000_000)
    followed = _joined(app.logs(follow=True))
    app.wait(timeout=120)
    copies = _copies(tmp_path)
    assert sum(map(len, copies.values())) > 90e6
    _same({file.name: b"".join(file) for file in app.log_files()}, copies)
    texts = {name: _text(data) for name, data in copies.items() if data}
    _same(followed, texts)
    _same(_joined(app.logs()), texts)


def _folders(knit: Knit, app: Application) -> list[str]:
    from knit_core.logs.aggregated.log_files import AggregatedLogs

    return AggregatedLogs(knit.hdfs, knit.config, app.id, "alice").folders()


ROLLING = """
import os, sys, time
rank, folder = sys.argv[1], sys.argv[2]
log = os.environ["LOG_DIRS"].split(",")[0] + "/rolled"
taken_away = os.environ["NM_HOST"] in ("localhost", "127.0.0.2")  # the indexed format leaves it there
copy = open(f"{folder}/{rank}.rolled", "ab")
for part in range(3):
    data = b"".join(b"%s: part %d line %d \\xff\\n" % (rank.encode(), part, n) for n in range(3000 + 100 * part))
    data += b"a line that the next part goes on with, " if part < 2 else b"the end, without a newline"
    copy.write(data)
    copy.flush()
    if os.path.exists(log):
        with open(log, "ab") as file:
            file.write(data)
    else:  # all at once: what is written between an upload and the deletion is lost to YARN
        with open(log + ".new", "wb") as file:
            file.write(data)
        os.rename(log + ".new", log)
    until = time.monotonic() + (60 if taken_away else 1.5)
    while part < 2 and os.path.exists(log) and time.monotonic() < until:
        time.sleep(0.02)
"""


def _rolling(knit: Knit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Submissions ask for uploads of running containers' files named `rolled`."""
    submit = knit.resourcemanager.submit

    def with_context(body: dict[str, Any], retry: Any = None) -> None:
        submit({**body, "log-aggregation-context": {"rolled-log-include-pattern": "^rolled$"}}, retry)

    monkeypatch.setattr(knit.resourcemanager, "submit", with_context)


class _Following:
    """Follows an application in a thread of its own."""

    def __init__(self, app: Application, cursor: LogCursor | None = None, **options: Any) -> None:
        self.lines: list[LogLine] = []
        self.cursor, self.error = LogCursor() if cursor is None else cursor, None
        self._generator = app.logs(follow=True, cursor=self.cursor, **options)
        self._thread = threading.Thread(target=self._run)
        self._stop = False
        self._thread.start()

    error: Exception | None

    def _run(self) -> None:
        try:
            for line in self._generator:
                self.lines.append(line)
                if self._stop:
                    break
        except Exception as error:
            self.error = error
        finally:
            self._generator.close()

    def until(self, condition: Callable[[], Any], timeout: float, what: str) -> None:
        eventually(lambda: self.error or condition(), timeout, what)
        assert self.error is None, self.error

    def stop(self) -> LogCursor:
        """Leave at the next line, wherever that is; where it stands."""
        self._stop = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        return LogCursor.load(json.loads(json.dumps(self.cursor.dump())))

    def join(self) -> list[LogLine]:
        self._thread.join(90)
        assert not self._thread.is_alive()
        assert self.error is None, self.error
        return self.lines


@pytest.mark.slow
def test_rolled_logs_in_both_formats(
    alice: Knit, many: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploaded while it runs, deleted from the node or left there: one log, whoever reads it when, nothing twice."""
    _rolling(alice, monkeypatch)
    (tmp_path / "rolling.py").write_text(ROLLING)
    copies = tmp_path / "copies"
    copies.mkdir()
    app = alice.submit(f"exec python3 rolling.py $KNIT_INSTANCE {copies}", instances=4, memory="5 GiB",
                       files=[str(tmp_path / "rolling.py")])  # fmt: skip
    whole = _Following(app, streams=["rolled"])
    first = _Following(app, streams=["rolled"])
    first.until(lambda: any("part 1 line 2000" in line.text for line in first.lines), 60, "the second part")
    second = _Following(app, first.stop(), streams=["rolled"])
    seen = [line for line in first.lines if line.stream == "rolled"]
    snapshot: dict[str, bytes] = {}

    def look() -> bool:
        try:
            for file in app.log_files(streams=["rolled"]):
                snapshot[file.name] = b"".join(file)
        except LogsUnavailable as error:
            assert error.transient, error
        return all(b"part 2" in snapshot.get(f"main_{rank}.rolled", b"") for rank in range(4))

    eventually(look, 60, "the last part of each, in files read while it runs")
    app.wait(timeout=60)
    expected = _copies(tmp_path)
    for name, data in snapshot.items():
        assert expected[name].startswith(data), name
    texts = {name: _text(data) for name, data in expected.items()}
    lines = [line for line in whole.join() if line.stream == "rolled"]
    _same(_joined(lines), texts)
    rest = second.join()
    _same(_joined([*seen, *(line for line in rest if line.stream == "rolled")]), texts)
    _same({file.name: b"".join(file) for file in app.log_files(streams=["rolled"])}, expected)
    uploads = [entry for folder in _folders(alice, app) for entry in alice.hdfs.list(folder)]
    assert len([entry for entry in uploads if "tfile" in entry.path]) > 4, "nothing was rolled"


def test_following_outlives_the_resourcemanager_and_a_node(alice: Knit, many: LocalCluster) -> None:
    """The ResourceManager restarts, a node dies: the others' lines come at once, and all that can be had is had."""
    app = alice.submit(
        "i=0; while [ ! -e /tmp/knit-logs-stop-$KNIT_APP_ID ]; do i=$((i + 1)); echo $i; sleep 0.1; done; echo end",
        instances=4,
        memory="5 GiB",
        attempts=1,
    )
    stop = Path(f"/tmp/knit-logs-stop-{app.id}")
    following = _Following(app, timeout=3)
    try:
        counts: Callable[[str], int] = lambda node: sum(line.node == node for line in following.lines)  # noqa: E731
        nodes = ("localhost", "127.0.0.2", "127.0.0.3", "127.0.0.4")
        following.until(lambda: all(counts(node) for node in nodes), 60, "a line from each node")
        restart = threading.Thread(target=many.restart, args=(["resourcemanager"],))
        restart.start()
        before = {node: counts(node) for node in nodes}
        following.until(lambda: all(counts(node) > before[node] + 5 for node in nodes), 20, "lines meanwhile")
        restart.join()
        master = _master_node(alice, app)
        dead = next(node for node in range(2, 5) if f"127.0.0.{node}" != master)
        many.kill(f"nodemanager-{dead}")
        living = [node for node in nodes if node != f"127.0.0.{dead}"]
        before = {node: counts(node) for node in living}
        said = "its node cannot be reached"
        following.until(lambda: any(said in line.text for line in following.lines), 30, "a word on the dead node")
        following.until(lambda: all(counts(node) > before[node] + 5 for node in living), 20, "the others' lines")
        stop.touch()
        eventually(lambda: app.report().ended, 60, "the end")
        following._thread.join(60)
    finally:
        stop.unlink(missing_ok=True)
        following._stop = True
        many.restart([f"nodemanager-{dead}"]) if "dead" in locals() else None
    assert isinstance(following.error, LogsUnavailable), following.error
    assert {missing.node for missing in following.error.missing} == {f"127.0.0.{dead}"}
    assert all(missing.why.startswith("its node is ") for missing in following.error.missing), following.error
    assert len([line for line in following.lines if said in line.text]) == 1
    for row in {line.yarn: line for line in following.lines if line.stream == "stdout"}.values():
        texts = [line.text for line in following.lines if (line.yarn, line.stream) == (row.yarn, "stdout")]
        numbers = [text for text in texts if text != "end"]
        assert numbers == [str(number) for number in range(1, len(numbers) + 1)], "each once, in order"
        if row.node in living:
            assert texts[-1] == "end"


def _master_node(knit: Knit, app: Application) -> str:
    return app.report().master_logs.split("/")[2].rpartition(":")[0]


def test_where_nothing_is_aggregated_it_is_said(alice: Knit, many: LocalCluster) -> None:
    """Followed while it runs and to its last line; what the node still has is read, what it has not is named."""
    many.up(nodes=5)
    assert alice.config.learn() is not None
    alice.config.remote.properties["yarn.log-aggregation-enable"] = "false"  # type: ignore[union-attr, index]
    app = alice.submit("for i in 1 2 3; do echo $i; sleep 0.5; done; printf end", memory=_BIG, name="silent")
    followed = list(app.logs(follow=True))
    assert [line.text for line in followed if line.stream == "stdout"] == ["1", "2", "3", "end"]
    assert {line.node for line in followed if line.container == "main_0"} == {"127.0.0.5"}
    assert any("log aggregation is off" in line.text for line in followed)
    again = list(app.logs())
    assert [line.text for line in again if line.stream == "stdout"] == ["1", "2", "3", "end"]
    assert {file.name: b"".join(file) for file in app.log_files()} == {
        "main_0.stdout": b"1\n2\n3\nend",
        "main_0.stderr": b"",
    }
    shutil.rmtree(node_dir(many.state_dir, _SILENT) / "logs" / app.id)
    for read in (app.logs, app.log_files):
        with pytest.raises(LogsUnavailable, match=r"main_0.*are gone|are gone.*main_0") as caught:
            list(read())
        assert "yarn.log-aggregation-enable" in str(caught.value)
        assert caught.value.reason == "off"
        assert [(m.container, m.node) for m in caught.value.missing] == [("main_0", "127.0.0.5")]
