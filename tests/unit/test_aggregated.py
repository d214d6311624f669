"""Aggregated logs found, read and put together, on an HDFS of this process."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knit_core.config import Config, HadoopConf
from knit_core.errors import ConnectionFailed, LogsUnavailable, NotFound, RequestRefused
from knit_core.logs.aggregated.folders import folders, listing
from knit_core.logs.aggregated.log_files import AggregatedLogs, Unfinished
from knit_core.logs.aggregated.rolled_parts import Mark
from knit_core.model.cluster_facts import FileStatus
from tests.unit import log_harness
from tests.unit.log_harness import log, record, tfile

APP = "application_1795412523572_12345"
TFILES = f"/tmp/logs/alice/bucket-logs-tfile/2345/{APP}"
IFILES = f"/tmp/logs/alice/bucket-logs-ifile/2345/{APP}"
C1, C2 = "container_1795412523572_12345_01_000002", "container_1795412523572_12345_01_000003"


class Hdfs:
    """Files in memory; `breaks` lists after how many bytes the next reads break off."""

    def __init__(self, files: dict[str, bytes], breaks: list[int] | None = None) -> None:
        self.files, self.breaks, self.opened = files, breaks or [], []
        self.errors: dict[str, Exception] = {}

    def list(self, path: str) -> list[FileStatus]:
        return [
            FileStatus(each, len(data), number, False, "alice", "640")
            for number, (each, data) in enumerate(self.files.items())
            if posixpath.dirname(each) == path
        ]

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def stream(self, path: str, *, offset: int, length: int) -> Iterator[bytes]:
        self.opened.append((path, offset, length))
        if path in self.errors:
            raise self.errors[path]
        if path not in self.files:
            raise NotFound("it is gone", status=404)
        left = self.breaks.pop(0) if self.breaks else length
        for at in range(offset, offset + min(left, length), 50):
            yield self.files[path][at : min(at + 50, offset + min(left, length))]
        if left < length:
            raise ConnectionFailed("it broke off")


class Settings:
    def __init__(self, **properties: str) -> None:
        self._properties = properties

    def cluster_property(self, name: str, default: str) -> str:
        return self._properties.get(name, default)

    def on_hdfs(self, path: str) -> str:
        config = Config({}, None)
        config.remote = HadoopConf({"fs.defaultFS": "hdfs://nn:8020", **self._properties})
        return config.on_hdfs(path)

    def folders(self) -> list[str]:
        return folders(self.cluster_property, self.on_hdfs, APP, "alice")


def logs_of(hdfs: Hdfs, **properties: str) -> AggregatedLogs:
    return AggregatedLogs(hdfs, Settings(**properties), APP, "alice")  # type: ignore[arg-type]


Found = dict[tuple[str, str], bytes]


def read(logs: AggregatedLogs) -> Found:
    there = logs.list_files()
    return {
        (found.container, found.stream): b"".join(found.open(0))
        for node in there.files
        for found in logs.read(there, node, lambda _container, _stream: True)
    }


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knit_core.logs.aggregated.log_files._FIRST_PAUSE", 0.0)


def test_both_formats_packed_or_not_side_by_side() -> None:
    one, two = {"stdout": b"a\n" * 300, "stderr": b""}, {"stdout": bytes(range(256))}
    hdfs = Hdfs(
        {
            f"{TFILES}/n1_1": tfile([[record("VERSION", b"\0\0\0\1")], [record(C1, log(**one), 100)]], "gz"),
            f"{IFILES}/n2_1": log_harness.ifile(APP, [{C2: two}], "none"),
            f"{IFILES}/n3_1": log_harness.ifile(APP, [{"container_1_0001_01_000009": two}], "gz"),
            f"{TFILES}/n4_1.tmp": b"unfinished",
        }
    )
    logs = logs_of(hdfs)
    assert read(logs) == {
        (C1, "stdout"): one["stdout"],
        (C1, "stderr"): b"",
        (C2, "stdout"): two["stdout"],
        ("container_1_0001_01_000009", "stdout"): two["stdout"],
    }
    assert logs.problems == []
    assert logs.list_files().uploading == {"n4_1"}
    assert len(hdfs.opened) <= 6  # small files come with one request each


def test_a_connection_that_breaks_is_taken_up_where_it_broke() -> None:
    content = bytes(range(256)) * 2000
    for path, data in [
        (f"{TFILES}/n_1", tfile([[record(C1, log(stdout=content), 1000)]])),
        (f"{IFILES}/n_1", log_harness.ifile(APP, [{C1: {"stdout": content}}])),
    ]:
        logs = logs_of(Hdfs({path: data}, [200, 10**9, 0, 0, 1000, 5, 70_001]))
        assert read(logs)[C1, "stdout"] == content
        assert logs.problems == []


def test_one_that_stays_away_is_a_problem_of_its_file_only() -> None:
    files = {f"{TFILES}/n{n}_1": tfile([[record(c, log(stdout=b"x"))]]) for n, c in enumerate((C1, C2))}
    hdfs = Hdfs(files)
    hdfs.errors[f"{TFILES}/n0_1"] = RequestRefused("a block is missing")
    logs = logs_of(hdfs)
    assert read(logs) == {(C2, "stdout"): b"x"}
    assert [path for path, _ in logs.problems] == [f"{TFILES}/n0_1"]


def test_damage_is_named_and_what_is_beside_it_is_read() -> None:
    bad = log(stdout=b"long").replace(b"\x00\x014", b"\x00\x01?")
    hdfs = Hdfs({f"{TFILES}/n_1": tfile([[record(C1, bad), record(C2, log(stdout=b"fine"))]])})
    logs = logs_of(hdfs)
    assert read(logs) == {(C2, "stdout"): b"fine"}
    ((path, problem),) = logs.problems
    assert path == f"{TFILES}/n_1"
    assert C1 in problem
    assert "damaged" in problem


def test_a_log_cut_short_hands_out_what_there_is_and_says_so() -> None:
    data = log_harness.ifile(APP, [{C1: {"stdout": b"0123456789" * 30}}], "gz")
    broken = data[:40] + bytes(10) + data[50:]
    logs = logs_of(Hdfs({f"{IFILES}/n_1": broken}))
    read(logs)
    assert "stdout of container" in logs.problems[0][1]


def test_another_compression_is_told_apart_from_damage() -> None:
    logs = logs_of(Hdfs({f"{TFILES}/n_1": tfile([[record(C1, log(stdout=b"x"))]], "lzo")}))
    assert read(logs) == {}
    assert logs.packed
    assert "lzo" in logs.problems[0][1]


@pytest.mark.parametrize("algorithm", ["none", "gz"])
@pytest.mark.parametrize("kind", ["tfile", "ifile"])
@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([b"one", b"one two", b"one two"], b"one two"),  # the file stayed on the node
        ([b"one", b"two", b"three"], b"onetwothree"),  # it was deleted after each upload
        ([b"one", b"two", b"two three", b"two three", b"4"], b"onetwo three4"),
        ([b"", b"x", b"", b"y"], b"xy"),
        ([b"a" * 900, b"a" * 900 + b"b"], b"a" * 900 + b"b"),
        ([b"a" * 900, b"a" * 899 + b"b"], b"a" * 900 + b"a" * 899 + b"b"),
    ],
)
def test_rolled_parts_become_one_log(kind: str, algorithm: str, parts: list[bytes], whole: bytes) -> None:
    if kind == "tfile":
        files = {
            f"{TFILES}/n_1_{1795412523572 + number}": tfile([[record(C1, log(stdout=part, stderr=b"e"))]], algorithm)
            for number, part in enumerate(parts)
        }
    else:
        uploads = [{C1: {"stdout": part, "stderr": b"e"}} for part in parts]
        files = {f"{IFILES}/n_1_1795412523572": log_harness.ifile(APP, uploads, algorithm)}
    logs = logs_of(Hdfs(dict(reversed(files.items()))))
    assert read(logs) == {(C1, "stdout"): whole, (C1, "stderr"): b"e"}
    there = logs.list_files()
    for start in range(0, len(whole) + 1, 50):
        found = logs.of_log(there, "n_1", C1, "stdout")
        assert found is not None
        assert (found.size, b"".join(found.open(start))) == (len(whole), whole[start:])


def test_parts_that_yarn_has_deleted_since_still_count() -> None:
    """It keeps 30 files a node; who has seen more goes on where he stands."""
    files = {f"{TFILES}/n_1_{1795412523572 + n}": tfile([[record(C1, log(stdout=b"%d" % n))]]) for n in range(3)}
    hdfs = Hdfs(files)
    logs = logs_of(hdfs)
    assert read(logs) == {(C1, "stdout"): b"012"}
    first = min(files)
    del hdfs.files[first]
    hdfs.files[f"{TFILES}/n_1_1795412523999"] = tfile([[record(C1, log(stdout=b"9"))]])
    found = logs.of_log(logs.list_files(), "n_1", C1, "stdout")
    assert found is not None
    assert found.size == 4
    assert b"".join(found.open(1)) == b"129"
    assert logs.problems == []


def test_while_an_upload_is_under_way_the_earlier_ones_are_read() -> None:
    uploads = [{C1: {"stdout": b"one"}}, {C1: {"stdout": b"one two"}}]
    whole, first = log_harness.ifile(APP, uploads), log_harness.ifile(APP, uploads[:1])
    path = f"{IFILES}/n_1_1795412523572"
    hdfs = Hdfs({path: whole[:-5]})
    logs = logs_of(hdfs)
    with pytest.raises(Unfinished):
        read(logs)
    name = posixpath.basename(path).encode()
    for good, found in [(0, None), (len(first), b"one")]:
        hdfs.files[f"{IFILES}/n_1-checksum"] = len(name).to_bytes(4, "big") + name + good.to_bytes(8, "big")
        if found is None:
            with pytest.raises(Unfinished):
                read(logs)
        else:
            assert read(logs) == {(C1, "stdout"): found}
    del hdfs.files[f"{IFILES}/n_1-checksum"]
    hdfs.files[path] = whole
    assert read(logs) == {(C1, "stdout"): b"one two"}


def test_where_they_lie() -> None:
    found = Settings().folders()
    assert found[0] == TFILES
    assert {TFILES, IFILES, f"/tmp/logs/alice/logs/{APP}", f"/tmp/logs/alice/logs-ifile/{APP}"} <= set(found)
    own = {
        "yarn.log-aggregation.file-formats": "Mine, TFile",
        "yarn.log-aggregation.Mine.remote-app-log-dir": "hdfs://nn:8020/mine/",
        "yarn.log-aggregation.Mine.remote-app-log-dir-suffix": "here",
        "yarn.nodemanager.remote-app-log-dir": "/other",
    }
    found = Settings(**own).folders()
    assert found[:2] == [f"/mine/alice/bucket-here/2345/{APP}", f"/mine/alice/here/{APP}"]
    assert f"/other/alice/bucket-logs-tfile/2345/{APP}" in found
    elsewhere = {"yarn.nodemanager.remote-app-log-dir": "s3a://bucket/logs"}
    with pytest.raises(
        LogsUnavailable, match="not on HDFS, so Knit cannot read them: s3a://bucket/logs is in s3a://bucket"
    ):
        Settings(**elsewhere).folders()
    with pytest.raises(LogsUnavailable, match="/tmp/logs is in s3a://bucket, and Knit uses hdfs://ns only"):
        Settings(**{"fs.defaultFS": "s3a://bucket", "dfs.nameservices": "ns"}).folders()
    mounts = {"fs.defaultFS": "viewfs://all", "fs.viewfs.mounttable.all.link./user": "hdfs://ns/user"}
    link = "fs.viewfs.mounttable.all.link./tmp"
    assert Settings(**mounts, **{link: "hdfs://ns/scratch"}).folders()[0] == TFILES.replace("/tmp", "/scratch")
    with pytest.raises(LogsUnavailable, match="/tmp/logs is in hdfs://other, and Knit uses hdfs://ns only"):
        Settings(**mounts, **{link: "hdfs://other/tmp"}).folders()


def test_what_names_mean() -> None:
    names = ["h.example.org_45454", "a_b_8041_1795634179777", "a_b_8041_1795634179700", "x", "n_1-checksum", "m_2.tmp"]
    found = listing(APP, [FileStatus(f"/f/{name}", 1, 7, False, "", "") for name in names])
    assert {node: [(file.host, file.time, file.rolled) for file in files] for node, files in found.files.items()} == {
        "h.example.org_45454": [("h.example.org", 7, False)],
        "a_b_8041": [("a_b", 1795634179700, True), ("a_b", 1795634179777, True)],
        "x": [("x", 7, False)],
    }
    assert (found.checksums, found.uploading) == ({"n_1": "/f/n_1-checksum"}, {"m_2"})
    with pytest.raises(LogsUnavailable, match="archive"):
        listing(APP, [FileStatus(f"/f/{APP}.har", 0, 0, True, "", "")])


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=6)), st.lists(st.binary(max_size=6)))
def test_what_begins_with_something(pieces: list[bytes], other: list[bytes]) -> None:
    mark, whole = Mark.of(other), b"".join(pieces)
    assert mark.begins(pieces) == (whole.startswith(b"".join(other)), Mark.of([whole]), whole[-64:])
    assert mark.begins([*other, *pieces])[0]
