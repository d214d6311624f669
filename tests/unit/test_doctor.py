"""`Knit.diagnose_connection`: each layer from the configuration to the user fails by itself, in words, and nothing follows."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme

from knit_core import Knit, LayerCheck
from tests.proxy_harness import Proxy
from tests.unit.doctor_harness import (
    LABELS,
    Hadoop,
    checks,
    closed_port,
    first_failure,
    hadoop,
    plain_environment,
    start,
)

__all__ = ["hadoop", "plain_environment", "start"]

_NOT_LAUNCHED = "not checked: nothing was to be launched"


# -- a cluster that works -----------------------------------------------------------------------------------------------


def test_each_layer_of_a_cluster_that_works(hadoop: Hadoop) -> None:
    found = {check.label: check for check in checks(hadoop.address)}
    assert list(found) == LABELS
    assert {label for label, check in found.items() if check.ok is None} == {
        "ResourceManager TLS", "HDFS TLS", "tokens", "application", "logs", "function"
    }  # fmt: skip
    assert all(check.ok is not False and check.error == "" for check in found.values())
    for label, words in (
        ("configuration", f"ResourceManager {hadoop.address} (argument resourcemanager)"),
        ("ResourceManager DNS", "localhost is 127.0.0.1"),
        ("ResourceManager TCP", f"localhost:{hadoop.port} accepts connections"),
        ("ResourceManager HTTP", "status 200"),
        ("ResourceManager who answers", "ResourceManager (active), Hadoop 3.4.2"),
        ("ResourceManager authentication", "simple: requests state the user alice, without proof"),
        ("HDFS configuration", f"http://localhost:{hadoop.port} (dfs.namenode.http-address in {hadoop.address}/conf)"),
        ("HDFS who answers", "HDFS over HTTP (WebHDFS)"),
        ("user", "alice (argument user); ResourceManager and HDFS take us for this user"),
        ("HDFS", "home folder /user/alice, staging folder /user/alice/.knit"),
        ("queue", "root.default accepts applications, 8 GiB and 8 cores are free"),
        ("nodes", "2 NodeManagers running, 8 GiB and 8 cores in all; a container has at most 4 GiB and 4 cores"),
        ("application", _NOT_LAUNCHED),
    ):
        assert words in found[label].text, label
    assert any("user alice (argument user)" in line for line in found["configuration"].details)
    assert "/ws/v1/cluster/apps" not in hadoop.asked
    assert hadoop.asked.count("CREATE") == 2 and "DELETE" in hadoop.asked, "the file is written and deleted"
    assert len(hadoop.asked) <= 20, hadoop.asked


def test_the_results_come_one_by_one_and_the_running_one_is_told(hadoop: Hadoop) -> None:
    begun: list[str] = []
    with Knit(hadoop.address, user="alice") as knit:
        results = knit.diagnose_connection(on_start=begun.append)
        assert hadoop.asked == []
        assert next(results).label == "configuration"
        for label in ("ResourceManager DNS", "ResourceManager TCP"):
            assert next(results).label == label
        assert hadoop.asked == [] and begun[-1] == "ResourceManager TCP"
        results.close()  # type: ignore[attr-defined]


def test_the_client_keeps_its_own_state_and_the_cluster_is_asked_anew(hadoop: Hadoop) -> None:
    with Knit(hadoop.address, user="alice") as knit:
        known, fetch = knit.config.learn(), knit.config.fetch
        hadoop.asked.clear()
        assert all(check.ok is not False for check in knit.diagnose_connection())
        assert "/conf" in hadoop.asked
        assert knit.config.remote is known and knit.config.fetch is fetch and knit.retry_timeout is None


def test_results_are_plain_data(hadoop: Hadoop) -> None:
    (row,) = [check.to_dict() for check in checks(hadoop.address) if check.layer == "nodes"]
    assert {key: row[key] for key in ("layer", "server", "ok", "remedy", "details", "error")} == {
        "layer": "nodes", "server": "", "ok": True, "remedy": "", "details": [], "error": ""
    }  # fmt: skip
    assert row["seconds"] >= 0 and "2 NodeManagers" in row["text"]
    assert json.dumps(row)


# -- configuration ------------------------------------------------------------------------------------------------------


def test_the_certificates_and_where_they_come_from_are_shown(
    hadoop: Hadoop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def line() -> str:
        return next(line for line in checks(hadoop.address)[0].details if line.startswith("ca"))

    assert line().startswith("ca: the operating system's certificates, and those of the package certifi")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    assert line() == f"ca {tmp_path}/ca.pem (REQUESTS_CA_BUNDLE)"
    monkeypatch.setenv("KNIT_CA", "false")
    assert line() == "ca false (KNIT_CA)"


def test_no_secret_is_shown(hadoop: Hadoop) -> None:
    options = {"auth": "basic", "password": "hush", "namenode": hadoop.address}
    hadoop.replies["GETHOMEDIRECTORY"] = (200, {"Path": "/user/alice"}, {})
    assert "hush" not in repr([check.to_dict() for check in checks(hadoop.address, **options)])


def test_no_hdfs_in_the_configuration(hadoop: Hadoop) -> None:
    hadoop.replies["/conf"] = (200, {"properties": [{"key": "fs.defaultFS", "value": "s3a://bucket"}]}, {})
    wrong = first_failure(checks(hadoop.address))
    assert (wrong.label, wrong.error) == ("HDFS configuration", "ConfigError")
    assert "Set KNIT_NAMENODE" in wrong.text


# -- name, port, TLS, HTTP ----------------------------------------------------------------------------------------------


def test_a_name_that_is_not_known() -> None:
    wrong = first_failure(checks("http://nowhere.invalid:8088"))
    assert (wrong.label, wrong.error) == ("ResourceManager DNS", "ConnectionFailed")
    assert "http://nowhere.invalid:8088 (name not known)" in wrong.text
    assert wrong.remedy == "check the host name, or whether a VPN or gateway is needed"


def test_a_port_that_refuses() -> None:
    wrong = first_failure(checks(f"http://127.0.0.1:{closed_port()}"))
    assert wrong.label == "ResourceManager TCP"
    assert "(connection refused)" in wrong.text
    assert wrong.remedy == "is it running there, and is this its web port?"


def test_a_port_that_does_not_answer_a_connection() -> None:
    """Its queue of connections is full, so that packets are lost as behind a firewall."""
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (one, two):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        wrong = first_failure(checks(f"http://127.0.0.1:{full.getsockname()[1]}", 0.5))
    assert wrong.label == "ResourceManager TCP"
    assert "(connecting took too long)" in wrong.text and "firewall" in wrong.remedy


def test_a_server_that_never_replies() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        begun = time.monotonic()
        wrong = first_failure(checks(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.5))
        assert time.monotonic() - begun < 4
    assert wrong.label == "ResourceManager HTTP"
    assert "(no reply in time)" in wrong.text and wrong.seconds >= 0.4


def test_one_of_two_resourcemanagers_is_enough(hadoop: Hadoop) -> None:
    dead = f"http://127.0.0.1:{closed_port()}"
    found = {check.label: check for check in checks(f"{dead},{hadoop.address}")}
    assert all(check.ok is not False for check in found.values())
    assert found["ResourceManager TCP"].text == f"{hadoop.address}: localhost:{hadoop.port} accepts connections"
    (line,) = found["ResourceManager TCP"].details
    assert line.startswith(f"{dead} is not used: ") and "connection refused" in line
    assert found["ResourceManager who answers"].text == "ResourceManager (active), Hadoop 3.4.2"


def test_the_faults_of_all_addresses_are_told_when_none_works() -> None:
    one, two = (f"http://127.0.0.1:{closed_port()}" for _ in range(2))
    wrong = first_failure(checks(f"{one},{two}"))
    assert wrong.label == "ResourceManager TCP" and f"at {one} (connection refused)" in wrong.text
    assert wrong.remedy == "is it running there, and is this its web port?"
    first, second = wrong.details
    assert first.startswith(f"{one} is not used: ") and second.startswith(f"{two} is not used: ")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def test_the_certificate_that_is_trusted_is_shown(start: Callable[..., Hadoop], authority: trustme.CA, ca: str) -> None:
    soon = datetime.now(timezone.utc) + timedelta(days=3)
    hadoop = start(authority.issue_cert("localhost", not_after=soon))
    options = {"namenode": hadoop.address, "ca": ca}
    found = {check.label: check for check in checks(hadoop.address, **options)}
    assert all(check.ok is not False for check in found.values()), found
    tls = found["ResourceManager TLS"]
    assert re.fullmatch(rf"TLSv1\.\d, certificate of .+, good until {soon:%Y-%m-%d}", tls.text), tls.text
    assert tls.remedy == f"its certificate ends on {soon:%Y-%m-%d}: ask for a new one"
    unverified = checks(hadoop.address, namenode=hadoop.address, ca="false")
    assert "is not verified (ca: false)" in next(check.text for check in unverified if check.layer == "TLS")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("unknown", "of an authority that is not trusted here: set ca"),
        ("other", "its certificate is another host's"),
        ("expired", "its certificate has expired"),
    ],
)
def test_a_certificate_that_is_not_trusted(
    kind: str, words: str, start: Callable[..., Hadoop], authority: trustme.CA, ca: str
) -> None:
    name, until = ("other.example.org" if kind == "other" else "localhost"), datetime.now(timezone.utc)
    until += timedelta(days=-1 if kind == "expired" else 100)
    hadoop = start(authority.issue_cert(name, not_after=until))
    wrong = first_failure(checks(hadoop.address, **({} if kind == "unknown" else {"ca": ca})))
    assert (wrong.label, wrong.error) == ("ResourceManager TLS", "ConnectionFailed")
    assert wrong.text.endswith("(TLS failed)") and words in wrong.remedy
    assert hadoop.asked == []


def test_a_server_that_wants_a_client_certificate(start: Callable[..., Hadoop], authority: trustme.CA, ca: str) -> None:
    hadoop = start(authority.issue_cert("localhost"), trustme.CA())
    wrong = first_failure(checks(hadoop.address, ca=ca))
    assert wrong.label == "ResourceManager TLS" and "does it require a client certificate" in wrong.remedy


def test_the_wrong_scheme(start: Callable[..., Hadoop], hadoop: Hadoop, authority: trustme.CA) -> None:
    secured = start(authority.issue_cert("localhost"))
    wrong = first_failure(checks(secured.address.replace("https", "http")))
    assert (wrong.label, wrong.remedy) == (
        "ResourceManager TLS", "it speaks https, not http: write https:// in the address"
    )  # fmt: skip
    wrong = first_failure(checks(hadoop.address.replace("http", "https")))
    assert (wrong.label, wrong.remedy) == (
        "ResourceManager TLS", "it speaks http, not https: write http:// in the address"
    )  # fmt: skip


def test_something_else_than_http_answers() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(8)

        def greet() -> None:
            for _ in range(4):
                try:
                    connection, _address = other.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(20)
                    connection.sendall(b"SSH-2.0-OpenSSH_9\r\n")
                    while connection.recv(4096):
                        pass

        threading.Thread(target=greet, daemon=True).start()
        wrong = first_failure(checks(f"http://127.0.0.1:{other.getsockname()[1]}"))
    assert wrong.label == "ResourceManager HTTP" and "(not HTTP)" in wrong.text


def test_through_a_proxy(hadoop: Hadoop) -> None:
    proxy = Proxy("http", user="me:hush")
    # the proxy leads every name to this machine
    options = {"proxy": proxy.url, "namenode": f"http://nn.example.org:{hadoop.port}"}
    hadoop.replies["CREATE"] = lambda query: (
        (201, "", {})
        if "datanode" in query
        else (307, "", {"Location": f"http://dn.example.org:{hadoop.port}/webhdfs/v1/x?op=CREATE&datanode=1"})
    )
    try:
        found = {check.label: check for check in checks(f"http://rm.example.org:{hadoop.port}", **options)}
        assert all(check.ok is not False for check in found.values()), found
        assert found["ResourceManager DNS"].text == "the proxy 127.0.0.1 is an address, no name"
        assert found["ResourceManager TCP"].text == f"the proxy http://{proxy.place} accepts connections"
        assert f"proxy http://{proxy.place}; reached without it: this machine itself" in found["configuration"].details
        assert "hush" not in str([check.to_dict() for check in found.values()])
        options["proxy"] = f"http://{proxy.place}"
        wrong = first_failure(checks(f"http://rm.example.org:{hadoop.port}", **options))
        assert wrong.label == "ResourceManager HTTP" and "does it need a password?" in wrong.remedy
    finally:
        proxy.close()
    wrong = first_failure(checks(f"http://rm.example.org:{hadoop.port}", **options))
    assert wrong.label == "ResourceManager TCP" and "(the proxy does not connect)" in wrong.text


# -- who answers, authentication, user ----------------------------------------------------------------------------------


def test_a_namenode_given_as_the_resourcemanager(hadoop: Hadoop) -> None:
    hadoop.replies["/ws/v1/cluster/info"] = (404, "", {})
    hadoop.replies["/jmx"] = (200, {"beans": [{"name": "Hadoop:service=NameNode,name=JvmMetrics"}]}, {})
    wrong = first_failure(checks(hadoop.address))
    assert (wrong.label, wrong.error) == ("ResourceManager who answers", "UnexpectedReply")
    assert "This is a NameNode: the ResourceManager's web port is 8088" in wrong.text


def test_an_rpc_port() -> None:
    reply = (
        b"HTTP/1.1 404 Not Found\r\nContent-type: text/plain\r\n\r\n"
        b"It looks like you are making an HTTP request to a Hadoop IPC port. This is not the correct port"
    )
    with socket.socket() as rpc:
        rpc.bind(("127.0.0.1", 0))
        rpc.listen(8)

        def answer() -> None:
            for _ in range(8):
                try:
                    connection, _address = rpc.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(reply)

        threading.Thread(target=answer, daemon=True).start()
        wrong = first_failure(checks(f"http://127.0.0.1:{rpc.getsockname()[1]}"))
    assert wrong.label == "ResourceManager who answers" and "the RPC port of a Hadoop server" in wrong.text


def test_a_login_page(hadoop: Hadoop) -> None:
    hadoop.replies["/ws/v1/cluster/info"] = (200, "<html>log in</html>", {"Content-Type": "text/html"})
    wrong = first_failure(checks(hadoop.address))
    assert wrong.label == "ResourceManager who answers" and "text/html where JSON was expected" in wrong.text


def test_states_of_resourcemanagers(hadoop: Hadoop) -> None:
    def told(info: dict[str, Any]) -> LayerCheck:
        hadoop.replies["/ws/v1/cluster/info"] = (200, info, {})
        return next(check for check in checks(hadoop.address) if check.label == "ResourceManager who answers")

    assert told({"clusterInfo": {"haState": "STANDBY", "hadoopVersion": "3.4.2"}}).text == (
        "ResourceManager (standby: requests go to the active one), Hadoop 3.4.2"
    )
    row = {"subClusterId": "sc1", "hadoopVersion": "3.5.0"}
    assert told({**row, "subCluster": row}).text == (
        "Router of a YARN federation, Hadoop 3.5.0; it stands for 1 cluster: sc1"
    )
    old = told({"clusterInfo": {"haState": "ACTIVE", "hadoopVersion": "2.10.2"}})
    assert old.ok is False and "Knit needs Hadoop 3 or newer" in old.text


def test_a_server_that_asks_for_kerberos_without_a_ticket(hadoop: Hadoop) -> None:
    pytest.importorskip("requests_gssapi")
    asks = (401, {"message": "Authentication required"}, {"WWW-Authenticate": "Negotiate"})
    hadoop.replies["/ws/v1/cluster/info"] = asks
    found = checks(hadoop.address)
    wrong = first_failure(found)
    assert (wrong.label, wrong.error) == ("ResourceManager authentication", "NotAuthorized")
    assert "there is no Kerberos ticket in" in wrong.text and "run kinit" in wrong.text
    before = {check.label: check.text for check in found}
    assert before["ResourceManager HTTP"] == "status 401, asks for Negotiate"
    wrong = first_failure(checks(hadoop.address, auth="simple"))
    assert wrong.label == "ResourceManager authentication" and "set auth to kerberos" in wrong.text


def test_a_gateway_that_refuses_the_password(hadoop: Hadoop) -> None:
    hadoop.replies["/ws/v1/cluster/info"] = (401, "", {"WWW-Authenticate": 'BASIC realm="application"'})
    wrong = first_failure(checks(hadoop.address, auth="basic", password="hush"))
    assert wrong.label == "ResourceManager authentication" and wrong.error == "NotAuthorized"
    assert "hush" not in str(wrong)


@pytest.mark.parametrize("server", ["HDFS", "The ResourceManager"])
def test_a_server_that_takes_us_for_another_user(server: str, hadoop: Hadoop) -> None:
    if server == "HDFS":
        hadoop.replies["GETHOMEDIRECTORY"] = (200, {"Path": "/user/dr.who"}, {})
    else:
        hadoop.replies["/ws/v1/cluster/userinfo"] = (200, {"clusterUserInfo": {"requestedUser": "dr.who"}}, {})
    wrong = first_failure(checks(hadoop.address))
    assert (wrong.label, wrong.error) == ("user", "ConfigError")
    assert re.search(rf"{server} at \S+ takes us for dr\.who, not for alice \(argument user\)", wrong.text)


def test_a_resourcemanager_that_does_not_tell_the_user(hadoop: Hadoop) -> None:
    hadoop.replies["/ws/v1/cluster/userinfo"] = (404, "", {})
    (user,) = [check for check in checks(hadoop.address) if check.label == "user"]
    assert user.ok and user.text == "alice (argument user); HDFS takes us for this user"
