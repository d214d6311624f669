"""A container writes to HDFS and reads the ApplicationMaster's address over https, from a server that it has reason to
believe."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knit_container import hdfs, tls
from knit_container.application_master import ApplicationMaster
from knit_core.launch.check_launch import _add_certificates
from knit_core.launch.plan import make_plan
from knit_core.model.cluster_facts import ClusterFacts, NewApplication
from knit_core.model.upload import Upload
from knit_core.spec import application_spec
from tests.unit.hdfs_harness import Reply, Server, namenode, self_signed, serve

__all__ = ["serve"]
FOLDER = "/user/alice/.knit/apps/application_1_0001"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What one test believes is not for the next."""
    tls.context.cache_clear()
    yield
    tls.context.cache_clear()


@pytest.fixture
def cluster(serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Server, Server]:
    """A NameNode and a DataNode with a certificate of their own."""
    certificate = self_signed(tmp_path)
    datanode = serve(lambda operation, path: (201, "", {}), certificate)
    server = serve(namenode(datanode.address), certificate)
    monkeypatch.setenv("KNIT_MASTER_FILE", f"{server.address}/webhdfs/v1{FOLDER}/master")
    monkeypatch.setenv("HADOOP_USER_NAME", "alice")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    return server, datanode


def test_with_the_certificates_that_came_along(
    cluster: tuple[Server, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KNIT_CA", str(tmp_path / "ca.pem"))
    hdfs.write_bytes("results/0", b"value")
    server, datanode = cluster
    assert [operation for operation, _ in server.asked] == ["CREATE", "RENAME"]
    assert [operation for operation, _ in datanode.asked] == ["CREATE"]
    assert capsys.readouterr().err == ""


def test_without_checking_and_saying_so(
    cluster: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KNIT_CA", "false")
    hdfs.write_bytes("results/0", b"value")
    hdfs.write_bytes("results/1", b"value")
    assert len(cluster[1].asked) == 2
    assert capsys.readouterr().err.count("identities of https servers are not checked here (ca: false)") == 1


def test_an_unknown_certificate_is_refused_at_once(
    cluster: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KNIT_CA", raising=False)
    begun = time.monotonic()
    with pytest.raises(hdfs.HdfsFault, match=r"results/0 could not be written to HDFS: .*certificate.*KNIT_CA"):
        hdfs.write_bytes("results/0", b"value")
    assert time.monotonic() - begun < 30
    assert cluster[0].asked == []


def test_a_datanode_without_https_gets_nothing(
    serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datanode = serve(lambda operation, path: (201, "", {}))
    answers = namenode(datanode.address)

    def answer(operation: str, path: str) -> Reply:
        return answers("CREATE", path) if operation in ("CREATE", "OPEN") else answers(operation, path)

    server = serve(answer, self_signed(tmp_path))
    monkeypatch.setenv("KNIT_MASTER_FILE", f"{server.address}/webhdfs/v1{FOLDER}/master")
    monkeypatch.setenv("HADOOP_USER_NAME", "alice")
    monkeypatch.setenv("KNIT_CA", str(tmp_path / "ca.pem"))
    with pytest.raises(hdfs.HdfsFault, match=f"from https to {datanode.address}, which is not encrypted"):
        hdfs.read("tokens", 1000)
    with pytest.raises(hdfs.HdfsFault, match="which is not encrypted"):
        hdfs.write_bytes("results/0", b"value")
    assert datanode.asked == []


def test_the_address_of_the_applicationmaster(
    serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(operation: str, path: str) -> Reply:
        return 200, json.dumps({"address": "node7:1234", "attempt": 2}), {}

    server = serve(answer, self_signed(tmp_path))
    monkeypatch.setenv("KNIT_CA", str(tmp_path / "ca.pem"))
    monkeypatch.setattr("knit_container.application_master.secrets_in", lambda raw: {"knit.token": b"x"})
    (tmp_path / "tokens").write_bytes(b"HDTS\0\0\0")
    master = ApplicationMaster(
        {
            "KNIT_MASTER": "gone:1", "KNIT_MASTER_ATTEMPT": "1", "CONTAINER_ID": "container_1",
            "HADOOP_TOKEN_FILE_LOCATION": str(tmp_path / "tokens"), "HADOOP_USER_NAME": "alice",
            "KNIT_MASTER_FILE": f"{server.address}/webhdfs/v1{FOLDER}/master",
        }
    )  # fmt: skip
    master._read_address()
    assert (master._address, master._attempt) == ("node7:1234", 2)


def _script(ca: str, files: dict[str, Upload]) -> tuple[str, list[str]]:
    facts = ClusterFacts(
        NewApplication("application_1_0001", 8192, 8, {}), (), None, "alice", "hdfs://nn:8020", ("https://nn:9871",),
        "/user/alice/.knit", ca=ca,
    )  # fmt: skip
    plan = make_plan(
        application_spec("true"), facts, jar=Upload.of("knit-am.jar", b"jar"), container_zip=Upload.of("z.zip", b"zip"), files=files
    )  # fmt: skip
    return plan.scripts["main"], [resource.link for resource in plan.resources["main"]]


def test_what_the_client_sends_along(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("certificates")
    files: dict[str, Upload] = {}
    assert _add_certificates(str(tmp_path / "ca.pem"), files) == []
    text, links = _script(str(tmp_path / "ca.pem"), files)
    assert 'export KNIT_CA="$PWD/knit-ca.pem"\n' in text
    assert "knit-ca.pem" in links
    assert "export KNIT_CA=false\n" in _script("false", {})[0]
    assert "KNIT_CA" not in _script("", {})[0]
    assert "is a folder" in _add_certificates(str(tmp_path), {})[0]
    assert "does not exist" in _add_certificates(str(tmp_path / "none"), {})[0]
