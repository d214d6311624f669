"""Kerberos of the client, with a real KDC: handshakes, cookies, whose user it is, and each fault in words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("requests_gssapi")

from knit_core import Knit, LayerCheck
from knit_core.errors import ConfigError, ConnectionFailed, KnitError, NotAuthorized
from knit_core.hadoop.http import KerberosAuth, Tickets
from knit_core.hadoop.http.service import Endpoint, HttpService
from knit_core.local.secure.kerberos_files import REALM
from tests.kerberos_harness import Protected, Realm

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def client(protected: Protected) -> Iterator[Callable[..., Knit]]:
    """Makes clients of the protected server, which close at the end."""
    made: list[Knit] = []

    def make(address: str = "", user: str | None = None, **options: str) -> Knit:
        address = address or protected.address
        made.append(Knit(address, user=user, options={"namenode": address, **options}))
        made[-1].cluster.retry_timeout = 2.0
        return made[-1]

    yield make
    for knit in made:
        knit.close()


def ask(knit: Knit, path: str = "/ws/v1/cluster/x") -> dict[str, str]:
    found: dict[str, str] = knit.resourcemanager.http.get_json(path, action="ask")
    return found


def fresh_keytab(realm: Realm, user: str, tmp_path: Path) -> str:
    """A keytab for which no ticket was got yet."""
    path = tmp_path / f"fresh-{user}.keytab"
    path.write_bytes(realm.keytab(user).read_bytes())
    return str(path)


def ticket(realm: Realm, user: str, tmp_path: Path, *options: str) -> None:
    """Into the process's default cache (see `in_realm`)."""
    realm.kinit(user, tmp_path / "tickets", *options)


def test_a_server_that_asks_for_kerberos_gets_it_without_a_setting(
    protected: Protected, client: Callable[..., Knit], in_realm: Realm, tmp_path: Path
) -> None:
    ticket(in_realm, "alice", tmp_path)
    knit = client()
    assert ask(knit)["user"] == "alice"
    assert knit.config.user == "alice"
    assert knit.config.settings["user"].source == "the Kerberos ticket"
    (_, _, first, nobody), (_, _, second, _) = protected.asked
    assert "user.name" in first and nobody == ""
    assert "user.name" not in second
    assert knit.hdfs.http.get_json("/webhdfs/v1/", action="ask")["user"] == "alice"
    assert "user.name" not in protected.asked[-1][2]


def test_a_program_behind_the_proxy_is_not_believed_when_it_asks_for_kerberos(
    protected: Protected, client: Callable[..., Knit], in_realm: Realm, tmp_path: Path
) -> None:
    ticket(in_realm, "alice", tmp_path)
    knit = client(user="alice")
    url = f"{protected.address}/proxy/x"
    proxy = knit.cluster.proxy.session
    assert proxy.get(url, timeout=5).status_code == 401
    assert len(protected.asked) == 1, "no ticket was sent"
    assert knit.cluster.proxy.endpoint.auth.parameters() == {"user.name": "alice"}
    ask(knit)  # the ResourceManager is believed
    assert proxy.get(url, timeout=5).status_code == 200
    assert knit.cluster.proxy.endpoint.auth.parameters() == {}


def test_a_cookie_spares_handshakes_and_a_refused_one_is_left(
    protected: Protected, client: Callable[..., Knit], in_realm: Realm, tmp_path: Path
) -> None:
    ticket(in_realm, "alice", tmp_path)
    knit = client(auth="kerberos")
    for _ in range(5):
        ask(knit)
    assert protected.handshakes == 1
    knit.resourcemanager.http.session.cookies.set("hadoop.auth", "expired", domain="localhost.local", path="/")
    assert ask(knit)["user"] == "alice"
    assert protected.handshakes == 2


def test_a_body_is_sent_again_with_the_ticket(
    protected: Protected, client: Callable[..., Knit], in_realm: Realm, tmp_path: Path
) -> None:
    ticket(in_realm, "alice", tmp_path)
    reply = client().resourcemanager.http.request("POST", "/apps", action="submit", body={"a": 1}).json()
    assert reply == {"user": "alice", "path": "/apps", "body": '{"a": 1}'}
    assert [row[0] for row in protected.asked] == ["POST", "POST"]


def test_threads_log_in_at_once(
    protected: Protected, client: Callable[..., Knit], in_realm: Realm, tmp_path: Path
) -> None:
    ticket(in_realm, "alice", tmp_path)
    protected.cookies = False
    knit, gate = client(), threading.Barrier(8)

    def run(_: int) -> str:
        gate.wait(10)
        return ask(knit)["user"]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(run, range(8))) == {"alice"}


def test_a_keytab_needs_no_kinit_and_renews_itself(
    protected: Protected, client: Callable[..., Knit], in_realm: Realm, tmp_path: Path
) -> None:
    protected.cookies = False
    in_realm.admin(f"modprinc -maxlife 3sec bob@{REALM}")
    try:
        knit = client(keytab=fresh_keytab(in_realm, "bob", tmp_path), principal=f"bob@{REALM}")
        assert knit.config.get("auth") == "kerberos"
        assert ask(knit)["user"] == "bob"
        time.sleep(4)
        assert ask(knit)["user"] == "bob"
        assert knit.config.user == "bob"
    finally:
        in_realm.admin(f"modprinc -maxlife 1day bob@{REALM}")


def test_two_users_in_one_process(protected: Protected, client: Callable[..., Knit], in_realm: Realm) -> None:
    both = [client(keytab=str(in_realm.keytab(name)), principal=f"{name}@{REALM}") for name in ("alice", "bob")]
    assert [ask(knit)["user"] for knit in both] == ["alice", "bob"]
    assert [ask(knit)["user"] for knit in reversed(both)] == ["bob", "alice"]


def test_a_keytab_never_gets_the_tickets_of_one_before_it(in_realm: Realm) -> None:
    """Objects come and go; the library's caches in memory stay until the process ends."""
    for _ in range(10):
        for name in ("alice", "bob"):
            assert Tickets(keytab=str(in_realm.keytab(name))).principal("http://x") == f"{name}@{REALM}"


def test_a_keytab_that_is_replaced_by_another_users(in_realm: Realm, tmp_path: Path) -> None:
    path = tmp_path / "service.keytab"
    tickets = Tickets(keytab=str(path))
    for name in ("alice", "bob"):
        (tmp_path / "new").write_bytes(in_realm.keytab(name).read_bytes())
        (tmp_path / "new").replace(path)
        assert str(tickets.credentials("http://x").name) == f"{name}@{REALM}"
    path.unlink()
    assert str(tickets.credentials("http://x").name) == f"bob@{REALM}"


def test_a_ticket_of_another_user_than_the_one_that_is_set(
    protected: Protected, client: Callable[..., Knit], in_realm: Realm, tmp_path: Path
) -> None:
    ticket(in_realm, "bob", tmp_path)
    for options in ({}, {"auth": "kerberos"}):
        knit = client(user="alice", **options)
        with pytest.raises(
            ConfigError, match=rf"user is alice \(argument user\), but the Kerberos ticket is that of bob@{REALM}"
        ):
            ask(knit)
            knit.config.user  # noqa: B018  (its property asks for the ticket)
    assert ask(client(user=f"bob@{REALM}"))["user"] == "bob"


def test_a_service_acts_for_a_user(protected: Protected, client: Callable[..., Knit], in_realm: Realm) -> None:
    knit = client(keytab=str(in_realm.keytab("bob")), principal=f"bob@{REALM}", proxy_user="alice")
    assert ask(knit)["user"] == "bob"
    assert protected.asked[-1][2] == {"doas": "alice"}
    assert (knit.config.user, knit.config.login_user) == ("alice", "bob")


def test_hadoop_user_name_counts_for_nothing(
    protected: Protected,
    client: Callable[..., Knit],
    in_realm: Realm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticket(in_realm, "alice", tmp_path)
    monkeypatch.setenv("HADOOP_USER_NAME", "carol")
    assert ask(client())["user"] == "alice"


def test_no_ticket(client: Callable[..., Knit], tmp_path: Path) -> None:
    for options in ({}, {"auth": "kerberos"}):
        with pytest.raises(
            NotAuthorized, match=r"there is no Kerberos ticket in the ticket cache FILE:.*: run kinit"
        ) as caught:
            ask(client(**options))
        assert not caught.value.transient
    assert "(that of the Kerberos ticket)" in repr(client(auth="kerberos"))


def test_an_expired_ticket(client: Callable[..., Knit], in_realm: Realm, tmp_path: Path) -> None:
    ticket(in_realm, "alice", tmp_path, "-l", "1s")
    time.sleep(2)
    with pytest.raises(
        NotAuthorized, match=r"the Kerberos ticket in the ticket cache FILE:.* has expired: get a new one: kinit"
    ):
        ask(client())


def test_a_ticket_that_expires_while_it_is_used_may_be_renewed_by_another_program(
    protected: Protected, client: Callable[..., Knit], in_realm: Realm, tmp_path: Path
) -> None:
    protected.cookies = False
    ticket(in_realm, "alice", tmp_path, "-l", "2s")
    knit = client()
    assert ask(knit)["user"] == "alice"
    time.sleep(3)
    with pytest.raises(ConnectionFailed, match="has expired") as caught:
        ask(knit)
    assert caught.value.transient
    ticket(in_realm, "alice", tmp_path)
    assert ask(knit)["user"] == "alice"


def test_the_kdc_is_away(client: Callable[..., Knit], in_realm: Realm, tmp_path: Path) -> None:
    in_realm.stop()
    try:
        with pytest.raises(ConnectionFailed, match="no KDC of the realm answers") as caught:
            ask(client(keytab=fresh_keytab(in_realm, "bob", tmp_path), principal=f"bob@{REALM}"))
        assert caught.value.before_sending
    finally:
        in_realm.start()


def test_the_address_is_not_the_servers_name_in_kerberos(
    protected: Protected, client: Callable[..., Knit], in_realm: Realm, tmp_path: Path
) -> None:
    ticket(in_realm, "alice", tmp_path)
    in_realm.admin(f"delprinc -force HTTP/127.0.0.1@{REALM}")
    port = protected.http.server_port
    with pytest.raises(
        NotAuthorized, match=r"the KDC has no service HTTP/127\.0\.0\.1 for alice@.*kvno HTTP/127\.0\.0\.1"
    ):
        ask(client(f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"principal": f"carol@{REALM}"}, "has no key of carol@"),
        ({"principal": "bob@ELSEWHERE.ORG"}, "krb5.conf does not say where the KDC is|has no key of bob@ELSEWHERE"),
    ],
)
def test_a_keytab_without_the_key(
    client: Callable[..., Knit], in_realm: Realm, options: dict[str, str], said: str
) -> None:
    with pytest.raises(NotAuthorized, match=said):
        ask(client(keytab=str(in_realm.keytab("bob")), **options))


def test_a_keytab_that_was_replaced(client: Callable[..., Knit], in_realm: Realm) -> None:
    in_realm.admin(f"addprinc -randkey dora@{REALM}", f"ktadd -norandkey -k {in_realm.keytab('dora')} dora@{REALM}")
    old = in_realm.keytab("dora").read_bytes()
    in_realm.admin(f"cpw -randkey dora@{REALM}")
    in_realm.keytab("dora").write_bytes(old)
    with pytest.raises(NotAuthorized, match="has an old or wrong key of dora@"):
        ask(client(keytab=str(in_realm.keytab("dora")), principal=f"dora@{REALM}"))


def test_a_cluster_with_kerberos_and_simple_authentication_is_said(client: Callable[..., Knit]) -> None:
    with pytest.raises(NotAuthorized, match="it asks for Kerberos, but auth is simple: set auth to kerberos"):
        ask(client(auth="simple"))


def test_without_the_package(client: Callable[..., Knit], monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def missing(name: str, *args: object, **options: object) -> object:
        if name in ("gssapi", "requests_gssapi"):
            raise ImportError(name)
        return real(name, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(
        ConfigError, match=r"asks for Kerberos, which needs the package requests-gssapi: pip install"
    ) as caught:
        ask(client())
    assert "libkrb5-dev" in str(caught.value)


def test_no_ticket_and_no_key_is_shown(
    protected: Protected, client: Callable[..., Knit], in_realm: Realm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ticket(in_realm, "alice", tmp_path)
    caplog.set_level("DEBUG")
    knit = client()
    ask(knit)
    shown = caplog.text + repr(knit) + repr(knit.resourcemanager.http.endpoint) + repr(knit.config)
    assert "Negotiate " not in shown and "hadoop.auth=" not in shown


def test_a_wait_outlives_the_tickets_of_its_time() -> None:
    """Nothing of a handshake is kept: credentials are read for each."""
    auth = KerberosAuth(Tickets("FILE:/nowhere"), lambda: "alice")
    service = HttpService(Endpoint("ResourceManager", ("http://127.0.0.1:1",), auth))
    with pytest.raises(KnitError):
        service.request("GET", "/", action="ask")
    assert service.endpoint.auth.parameters() == {}


def test_the_doctor_tells_authentication_from_what_comes_after_it(
    protected: Protected, client: Callable[..., Knit], in_realm: Realm, tmp_path: Path
) -> None:
    def failure() -> LayerCheck:
        return next(check for check in client().diagnose_connection() if check.ok is False)

    wrong = failure()
    assert wrong.label == "ResourceManager authentication" and "there is no Kerberos ticket in" in wrong.text
    ticket(in_realm, "alice", tmp_path)
    wrong = failure()
    assert wrong.label == "ResourceManager who answers" and "is not a YARN ResourceManager" in wrong.text
    details = next(iter(client().diagnose_connection())).details
    assert any(line.startswith(f"Kerberos: a ticket of alice@{REALM} in ") for line in details)
