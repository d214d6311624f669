"""Kerberos, TLS and high availability together: the main job of a user with a keytab from scripts, the command line and a DAG.

And what another user may not do.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("requests_gssapi")

from knit_container.credentials import Token
from knit_core import Knit, Outcome, State
from knit_core.errors import KnitError, NotAuthorized
from knit_core.hadoop.delegation_tokens import tokens_for
from knit_core.launch import launcher
from knit_core.local import LocalCluster
from knit_core.local.secure.kdc import program
from knit_core.local.secure.kerberos_files import REALM
from tests.airflow.bench import Scenario
from tests.cluster_harness import eventually, no_class_archives
from tests.shifted_clock import shifted_clock
from tools.airflow_processes import AirflowProcesses

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]
SMALL = {"memory": 256, "vcores": 1}


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    folder = tmp_path_factory.mktemp("secure")
    folder.chmod(0o755)
    cluster = LocalCluster(folder / "state")
    may_act = {"hadoop.proxyuser.bob.hosts": "*", "hadoop.proxyuser.bob.users": "alice"}
    try:
        cluster.up(kerberos=True, tls=True, ha=True, users=["alice", "bob"], settings=may_act, timeout=240)
        with pytest.MonkeyPatch.context() as patch, no_class_archives():
            for name, value in cluster.environment.items():
                patch.setenv(name, value)
            yield cluster
    finally:
        cluster.down(delete=True)


def _client(secure: LocalCluster, user: str) -> Knit:
    options = {"keytab": str(secure.keytab(user)), "principal": f"{user}@{REALM}", "ca": secure.environment["KNIT_CA"]}
    return Knit(secure.resourcemanager_url, options=options)


@pytest.fixture
def clients(secure: LocalCluster) -> Iterator[dict[str, Knit]]:
    """One for each user; with the address alone, and the cluster's authority."""
    made = {name: _client(secure, name) for name in ("alice", "bob")}
    yield made
    for knit in made.values():
        knit.close()


def test_a_program_runs_and_its_logs_come(clients: dict[str, Knit]) -> None:
    alice = clients["alice"]
    app = alice.submit("echo hello from $USER; sleep 2", **SMALL)
    result = app.wait(timeout=120)
    assert result.outcome is Outcome.SUCCEEDED, result
    assert app.report().user == "alice"
    lines = eventually(lambda: [line.text for line in app.logs(streams=["stdout"])], 60, "its logs")
    assert any(line.startswith("hello from") for line in lines)


def test_a_deferred_task_of_a_dag(
    airflow: AirflowProcesses, secure: LocalCluster, clients: dict[str, Knit], flags: Path
) -> None:
    """Worker and triggerer log in with the connection's keytab; their only other knowledge is the realm's krb5.conf."""
    shutil.copy(secure.environment["KRB5_CONFIG"], airflow.environment["KRB5_CONFIG"])
    airflow.client.add_connection(
        "knit_secure",
        conn_type="knit",
        host=secure.resourcemanager_url,
        extra=json.dumps(
            {
                "keytab": str(secure.keytab("alice")),
                "principal": f"alice@{REALM}",
                "ca": secure.environment["KNIT_CA"],
            }
        ),
    )
    airflow.client.wait_parsed("elsewhere_deferred")
    scenario = Scenario(airflow, clients["alice"], flags, "elsewhere_deferred").start(conn="knit_secure")
    app = scenario.wait_running()
    scenario.wait("deferred")
    scenario.let_go()
    assert scenario.wait("success")["try_number"] == 1
    assert scenario.xcom("application_id") == app.id
    assert "hello from" in scenario.log()
    assert [each.user for each in scenario.applications()] == ["alice"]


def test_functions_return_their_values_over_https_with_the_token(clients: dict[str, Knit]) -> None:
    assert clients["alice"].map(lambda x: x * x, range(4), workers=2, timeout=120, **SMALL) == [0, 1, 4, 9]


def test_another_user_may_not_end_it_nor_read_its_logs(clients: dict[str, Knit]) -> None:
    app = clients["alice"].submit("echo secret; sleep 300", **SMALL)
    app.wait_for_containers(1)
    bob = clients["bob"].attach(app.id)
    with pytest.raises(KnitError) as caught:
        bob.kill("not mine")
    assert isinstance(caught.value, NotAuthorized) or "bob" in str(caught.value)
    assert not app.report().ended
    with pytest.raises(KnitError, match="it is an application of alice"):
        list(bob.logs())
    with pytest.raises(KnitError):
        bob.kv.put("x", 1)
    app.kill("enough")
    assert app.wait(timeout=60, check=False).outcome is Outcome.KILLED


def test_a_service_acts_for_its_user_and_for_no_other(secure: LocalCluster) -> None:
    def acting(login: str, user: str) -> Knit:
        options = {"keytab": str(secure.keytab(login)), "principal": f"{login}@{REALM}", "proxy_user": user}
        return Knit(secure.resourcemanager_url, options={**options, "ca": secure.environment["KNIT_CA"]})

    with acting("bob", "alice") as knit:
        app = knit.submit("echo for alice", **SMALL)
        assert app.wait(timeout=120).outcome is Outcome.SUCCEEDED
        assert app.report().user == "alice"
        assert knit.hdfs.status(f"/user/alice/.knit/apps/{app.id}").owner == "alice"  # type: ignore[union-attr]
    with acting("alice", "bob") as knit, pytest.raises(NotAuthorized, match=r"bob in hadoop\.proxyuser\.alice\.users"):
        knit.submit("true", **SMALL)


def test_the_command_line_in_the_environment_that_knit_local_env_prints(secure: LocalCluster, tmp_path: Path) -> None:
    script = f"""
eval "$({sys.executable} -m knit_core local env --state {secure.state_dir} --user alice)"
exec {sys.executable} -m knit_core run --memory 256 --key {tmp_path.name} -- echo hello
"""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("KNIT_", "KRB5", "HADOOP"))
    }
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hello" in done.stdout


def test_the_kdc_is_away_for_some_seconds(secure: LocalCluster, clients: dict[str, Knit]) -> None:
    """Who has a ticket goes on, who has none waits for it."""
    running = clients["alice"].submit("sleep 12", **SMALL)
    running.wait_for_containers(1)
    secure.kill("kdc")
    back = threading.Timer(8, secure.up)
    back.start()
    try:
        assert running.report().state is State.RUNNING
        with _client(secure, "alice") as fresh:
            assert fresh.submit("true", **SMALL).wait(timeout=120).outcome is Outcome.SUCCEEDED
        assert running.wait(timeout=120).outcome is Outcome.SUCCEEDED
    finally:
        back.join()


@pytest.mark.parametrize("seconds", [600, pytest.param(-600, marks=pytest.mark.slow)])
def test_a_clock_that_is_ten_minutes_off(secure: LocalCluster, tmp_path: Path, seconds: int) -> None:
    """A ticket of before is refused in words; one from a keytab has the KDC's time."""
    subprocess.run(
        [program("kinit"), "-kt", str(secure.keytab("alice")), "-c", str(tmp_path / "tickets"), f"alice@{REALM}"],
        check=True, timeout=30,
    )  # fmt: skip

    def knit(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value for name, value in os.environ.items() if "KEYTAB" not in name and "PRINCIPAL" not in name
        }
        environment |= {"PYTHONPATH": os.pathsep.join(sys.path), **shifted_clock(tmp_path, seconds), **variables}
        command = [sys.executable, "-m", "knit_core", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)

    refused = knit("list", KRB5CCNAME=f"FILE:{tmp_path}/tickets")
    assert refused.returncode != 0
    assert "clocks of this machine and of the" in refused.stderr
    keytab = {"KNIT_KEYTAB": str(secure.keytab("alice")), "KNIT_PRINCIPAL": f"alice@{REALM}"}
    done = knit("run", "--memory", "256", "--", "echo hello", **keytab)
    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout


def test_another_user_reads_neither_key_nor_files_nor_page(clients: dict[str, Knit]) -> None:
    alice, bob = clients["alice"], clients["bob"]
    app = alice.submit("sleep 300", **SMALL)
    app.wait_for_containers(1)
    try:
        staging = alice.config.staging
        assert alice.hdfs.read(f"{staging}/key")
        for path in (f"{staging}/key", f"{staging}/apps/{app.id}/master"):
            with pytest.raises(NotAuthorized):
                bob.hdfs.read(path)
        with pytest.raises(NotAuthorized):
            bob.hdfs.write(f"{staging}/x", b"bob's")
        page = app.report().tracking_url.rstrip("/")
        for who, status in ((alice, 200), (bob, 403)):
            reply = who.cluster.proxy.session.get(f"{page}/ui/state.json", timeout=20)
            assert reply.status_code == status, (who, reply.text)
    finally:
        app.kill("enough")


def test_no_secret_is_on_a_command_line_or_in_a_log(
    secure: LocalCluster, clients: dict[str, Knit], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Passwords of keystores, tokens and the application's secret: in no process list, log, environment or request log."""
    caplog.set_level(logging.DEBUG)
    tokens: list[Token] = []

    def recorded(*arguments: Any) -> dict[str, Token]:
        found = tokens_for(*arguments)
        tokens.extend(found.values())
        return found

    monkeypatch.setattr(launcher, "tokens_for", recorded)
    alice = clients["alice"]
    app = alice.submit("env; cat launch_container.sh; sleep 300", files=[__file__], **SMALL)
    app.wait_for_containers(1)
    eventually(lambda: any("KNIT_APP_ID" in line.text for line in app.logs()), 60, "its environment in its log")
    commands = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    shown = "\n".join(line.text for line in app.logs())
    key = alice.cluster.user_key.application_secret(app.id)
    app.kill("enough")
    secrets = {
        (secure.state_dir / "tls" / "password").read_text(),
        key.hex(),
        base64.b64encode(key).decode().rstrip("="),
        *(token.encode() for token in tokens),
        *(base64.b64encode(token._password.reveal()).decode().rstrip("=") for token in tokens),
    }
    assert len(secrets) == 7
    texts = {path.name: path.read_text(errors="replace") for path in (secure.state_dir / "logs").iterdir()}
    texts |= {"ps": commands, "its log": shown, "the client's log": caplog.text, "the client": repr(alice) + repr(app)}
    assert not [name for name, text in texts.items() for secret in secrets if secret in text]
