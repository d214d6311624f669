"""Behind a gateway such as Knox: one address is enough, its services are found, and no other server gets the password.

More than 400 lines: all tests use the gateway and the client below.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from knit_core import Knit
from knit_core.errors import (
    ConfigError,
    KnitError,
    MasterUnreachable,
    NotAuthorized,
    ServiceUnavailable,
    UnexpectedReply,
)
from tests.knox_harness import APP, Elsewhere, Knox, Seen, WebServer, as_json, basic, jwt

PASSWORD = {"auth": "basic", "password": "secret"}
TOPOLOGY = "/gateway/default"
Client = Callable[..., Knit]


@pytest.fixture
def knox() -> Iterator[Knox]:
    server = Knox()
    yield server
    server.close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    server = Elsewhere()
    yield server
    server.close()


@pytest.fixture
def client(knox: Knox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Client]:
    """`client(path, user=…, **options)`: a client of the gateway; by default of its topology, with the right password."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HADOOP_CONF_DIR", "KNIT_RESOURCEMANAGER"):
        monkeypatch.delenv(name, raising=False)
    made: list[Knit] = []

    def make(path: str = TOPOLOGY, user: str | None = "alice", **options: Any) -> Knit:
        knit = Knit(f"{knox.address}{path}", user=user, options=options or PASSWORD)
        knit.cluster.retry_timeout = 2.0
        made.append(knit)
        return knit

    yield make
    for knit in made:
        knit.close()


@pytest.mark.parametrize("path", ["", "/yarn", "/yarn/", "/resourcemanager", "/yarnuiv2"])
def test_one_address_is_enough_whatever_service_it_names(knox: Knox, client: Client, path: str) -> None:
    knit = client(TOPOLOGY + path)
    assert knit.resourcemanager.info()["state"] == "STARTED"
    assert knit.resourcemanager.address == f"{knox.address}{TOPOLOGY}/yarn"
    assert knit.config.namenodes.value == f"{knox.address}{TOPOLOGY}"
    assert knit.config.filesystem.value == "hdfs://nn.example.org:8020"
    knit.hdfs.status("/")
    knit.resourcemanager.info()
    yarn, hdfs = f"{TOPOLOGY}/yarn", f"{TOPOLOGY}/webhdfs/v1/"
    info = f"{yarn}/ws/v1/cluster/info"
    assert knox.paths == [info, info, hdfs, f"{yarn}/conf", hdfs, info], "each is looked for once"


def test_the_path_of_the_gateway_as_a_setting(knox: Knox, client: Client) -> None:
    for path in ("", TOPOLOGY):
        knit = client(path, gateway_path=TOPOLOGY, **PASSWORD)
        knit.resourcemanager.info()
        assert knit.resourcemanager.address == f"{knox.address}{TOPOLOGY}/yarn"


def test_many_threads_ask_once(knox: Knox, client: Client) -> None:
    knit = client(TOPOLOGY)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: knit.resourcemanager.conf(), range(8)))
    assert knox.paths.count(f"{TOPOLOGY}/yarn/ws/v1/cluster/info") == 1


def test_an_ordinary_resourcemanager_is_asked_nothing_more(elsewhere: Elsewhere) -> None:
    with Knit(elsewhere.address, user="alice", options={"namenode": elsewhere.address}) as knit:
        knit.resourcemanager.info()
        knit.hdfs.status("/")
    assert elsewhere.paths == ["/ws/v1/cluster/info", "/webhdfs/v1/"]


def test_a_service_with_less_is_used_and_what_it_lacks_is_told(
    knox: Knox, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    knox.services = ("RESOURCEMANAGER", "YARNUIV2", "WEBHDFS")
    knit = client()
    with caplog.at_level(logging.WARNING):
        assert knit.resourcemanager.info()["state"] == "STARTED"
    assert knit.resourcemanager.address == f"{knox.address}{TOPOLOGY}/resourcemanager"
    assert knox.paths[-1] == f"{TOPOLOGY}/resourcemanager/v1/cluster/info"
    told = "\n".join(knit.check())
    for text in (told, caplog.text):
        assert "RESOURCEMANAGER" in text and "KNIT_FILESYSTEM" in text and "must add the service YARNUI" in text
    with pytest.raises(ConfigError, match="KNIT_FILESYSTEM"):
        _ = knit.config.filesystem
    with pytest.raises(MasterUnreachable, match="Knox needs the service YARNUI"):
        _call_master(knit)


def _call_master(knit: Knit) -> Any:
    knit.user_key.application_secret = lambda *_args, **_options: b"k" * 32  # type: ignore[method-assign]
    return knit.cluster.application_master(APP).get("/application", retry_timeout=0.1)


def test_the_other_services_when_only_they_are_there(knox: Knox, client: Client) -> None:
    knox.services = ("YARNUIV2", "WEBHDFS")
    knit = client()
    knit.resourcemanager.info()
    assert knit.resourcemanager.address == f"{knox.address}{TOPOLOGY}/yarnuiv2"


def test_a_gateway_that_is_not_knox(client: Client) -> None:
    class Prefix(WebServer):
        def reply(self, seen: Seen, body: bytes) -> tuple[int, dict[str, str], bytes]:
            if seen.path == "/hadoop/ws/v1/cluster/info":
                return as_json({"clusterInfo": {"state": "STARTED"}})
            if seen.path == "/hadoop/conf":
                rows = {"fs.defaultFS": "hdfs://nn:8020", "dfs.namenode.http-address": "nn:9870"}
                return as_json({"properties": [{"key": key, "value": value} for key, value in rows.items()]})
            return 404, {}, b""

    server = Prefix()
    with Knit(f"{server.address}/hadoop", user="alice") as knit:
        knit.resourcemanager.info()
        assert knit.resourcemanager.address == f"{server.address}/hadoop"
        assert knit.config.namenodes.value == "http://nn:9870", "without a password the cluster's own NameNode serves"
    server.close()


def test_a_gateway_without_webhdfs(knox: Knox, client: Client) -> None:
    knox.services = ("YARNUI",)
    with pytest.raises(ConfigError, match=r"has no WebHDFS.* must add the service WEBHDFS.*KNIT_NAMENODE"):
        client().hdfs.home()


def test_a_namenode_at_a_topology_that_does_not_exist(knox: Knox, client: Client) -> None:
    knit = client(namenode=f"{knox.address}/gateway/other", **PASSWORD)
    with pytest.raises(
        KnitError, match=r"with no reply of WebHDFS: does the gateway's topology have the service WEBHDFS"
    ):
        knit.hdfs.status("/")


def test_a_topology_that_lacks_yarn_and_one_that_does_not_exist(knox: Knox, client: Client) -> None:
    with pytest.raises(UnexpectedReply, match=r"Found: /gateway/default\.") as caught:
        client("/gateway/defualt").resourcemanager.info()
    assert "no ResourceManager at /gateway/defualt" in str(caught.value)
    with pytest.raises(UnexpectedReply, match=r"KNIT_GATEWAY_PATH=/gateway/default"):
        client("").resourcemanager.info()
    knox.services = ("WEBHDFS",)
    with pytest.raises(UnexpectedReply, match=r"The topology /gateway/default has WEBHDFS.* must add YARNUI"):
        client().resourcemanager.apps()
    with pytest.raises(UnexpectedReply, match=r"is the name of the topology right"):
        client("/other/name").resourcemanager.apps()


def test_a_resourcemanager_that_the_gateway_does_not_reach(knox: Knox, client: Client) -> None:
    for status in (500, 503):
        knox.failing = dict.fromkeys(("YARNUI", "RESOURCEMANAGER", "YARNUIV2"), status)
        with pytest.raises(ServiceUnavailable, match=f"answered {status}"):
            client().resourcemanager.info()
    knox.failing = {"YARNUI": 503}
    knit = client()
    with pytest.raises(ServiceUnavailable):  # it passes: a service with less is not taken for ever
        knit.resourcemanager.info()
    knox.failing = {}
    knit.resourcemanager.info()
    assert knit.resourcemanager.address == f"{knox.address}{TOPOLOGY}/yarn"


def test_a_login_page_for_people(client: Client) -> None:
    class Sso(WebServer):
        def reply(self, seen: Seen, body: bytes) -> tuple[int, dict[str, str], bytes]:
            return 302, {"Location": f"{self.address}/gateway/knoxsso/api/v1/websso?originalUrl=x"}, b""

    server = Sso()
    with (
        Knit(f"{server.address}/gateway/default", user="alice", options=PASSWORD) as knit,
        pytest.raises(NotAuthorized, match=r"redirects to .*/websso\. If people log in there .*KNIT_AUTH=token"),
    ):
        knit.resourcemanager.info()
    server.close()


# -- who gets the password ---------------------------------------------------------------------------------------------


def test_namenodes_of_the_configuration_get_no_password(knox: Knox, client: Client, elsewhere: Elsewhere) -> None:
    host = elsewhere.address.removeprefix("http://")
    knox.conf = {"fs.defaultFS": "hdfs://127.0.0.1:8020", "dfs.namenode.http-address": host}
    knit = client()
    assert knit.hdfs.home() == "/user/alice"
    assert elsewhere.asked == []
    knox.services = ("YARNUI",)
    with pytest.raises(ConfigError):
        client().hdfs.home()
    assert elsewhere.asked == []


def test_a_namenode_that_is_set_without_a_path_gets_no_password(
    knox: Knox, client: Client, elsewhere: Elsewhere
) -> None:
    knox.cookie_path = "/"
    knit = client(namenode=elsewhere.address, **PASSWORD)
    knit.resourcemanager.info()  # the gateway has set a cookie now, for the same host
    assert knit.hdfs.home() == "/user/dr.who"
    with pytest.raises(ConfigError, match=r"takes us for dr\.who"):
        knit.check()
    assert elsewhere.asked and elsewhere.secrets == []
    login = knox.address.replace("http://", "http://alice:secret@")
    with Knit(login + TOPOLOGY, options={"namenode": elsewhere.address.replace("//", "//alice:secret@")}) as named:
        named.hdfs.home()
    assert elsewhere.secrets == [basic("alice", "secret")], "an address with the password in it is meant"


@pytest.mark.parametrize("auth", ["basic", "token"])
def test_a_redirect_to_elsewhere_gets_no_password(knox: Knox, client: Client, elsewhere: Elsewhere, auth: str) -> None:
    token = jwt()
    knox.tokens, knox.data = {token}, elsewhere.address
    knit = client(**(PASSWORD if auth == "basic" else {"auth": "token", "token": token}))
    knit.hdfs.read("/user/alice/x")
    knit.hdfs.client.write("/user/alice/y", data=b"1")
    assert {seen.method for seen in elsewhere.asked} == {"GET", "PUT"}
    assert elsewhere.secrets == []


def test_redirects_to_the_gateway_itself_get_the_password(knox: Knox, client: Client) -> None:
    knox.sessions = False
    knit = client()
    assert knit.hdfs.read("/user/alice/x") == b"content"
    knit.hdfs.client.write("/user/alice/y", data=b"1")
    data = [seen for seen in knox.asked if "/webhdfs/data/" in seen.path]
    assert {seen.method for seen in data} == {"GET", "PUT"}
    assert all(seen.authorization == basic("alice", "secret") for seen in data)


def test_the_nodemanagers_and_applications_own_addresses_get_no_password(
    knox: Knox, client: Client, elsewhere: Elsewhere
) -> None:
    knit = client()
    knit.resourcemanager.info()
    with knit.cluster.nodes.new_session() as session:
        session.get(f"{elsewhere.address}/ws/v1/node/containers")
    knit.cluster.proxy.session.get(f"{elsewhere.address}/proxy/{APP}/api/v1/application")
    assert len(elsewhere.asked) == 2 and elsewhere.secrets == []


def test_applications_are_called_at_the_gateways_address_that_is_given(
    knox: Knox, client: Client, elsewhere: Elsewhere
) -> None:
    knox.frontend = f"{elsewhere.address}{TOPOLOGY}"  # Knox's setting gateway.frontend.url
    with pytest.raises(MasterUnreachable, match="through the proxy at"):
        _call_master(client())
    assert elsewhere.asked == [] and f"{TOPOLOGY}/yarn/proxy/{APP}/api/v1/application" in knox.paths


def test_over_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    knox = Knox(certificate=authority.issue_cert("127.0.0.1"))
    options = {**PASSWORD, "ca": str(tmp_path / "ca.pem")}
    with Knit(f"{knox.address}{TOPOLOGY}", user="alice", options=options) as knit:
        assert knit.hdfs.home() == "/user/alice" and knit.resourcemanager.info()
    knox.close()


# -- logins ------------------------------------------------------------------------------------------------------------


def test_one_login_serves_all_services(knox: Knox, client: Client) -> None:
    knit = client()
    knit.check()
    knit.hdfs.read("/user/alice/x")
    assert knox.logins == 1 and len(knox.asked) > 5
    knox.end_sessions()  # it was restarted
    knit.hdfs.home()
    knit.resourcemanager.info()
    assert knox.logins == 2
    assert "session" not in repr(knit.resourcemanager.http.session.cookies)


@pytest.mark.parametrize("header", [True, False])
def test_a_token_as_header_and_as_cookie(knox: Knox, client: Client, header: bool) -> None:
    token = jwt("alice", exp=time.time() + 60)
    knit = client(user=None, auth="token", token=token)
    assert (knit.config.user, knit.config.settings["user"].source) == ("alice", "the gateway's token")
    knox.tokens = {token}
    knit.resourcemanager.info()
    assert knox.asked[-1].authorization == f"Bearer {token}" and f"hadoop-jwt={token}" in knox.asked[-1].cookie
    assert token not in repr(knit.config) + str(knit.config.describe()) + repr(knit.cluster._auth)


def test_a_passcode_is_sent_as_knox_wants_it(knox: Knox, client: Client) -> None:
    knox.passcodes = {basic("Passcode", "WkRJ::T1dG")}
    client(auth="token", token="WkRJ::T1dG").resourcemanager.info()
    assert knox.asked[0].cookie == ""


def test_an_expired_cookie_of_the_gateway_is_given_up(knox: Knox, client: Client) -> None:
    knit = client()
    knit.resourcemanager.http.session.cookies.set("hadoop-jwt", "expired", domain="127.0.0.1", path="/")
    knit.resourcemanager.info()
    assert "expired" in knox.asked[0].cookie and "expired" not in knox.asked[-1].cookie


def test_a_token_file_is_read_again(knox: Knox, client: Client, tmp_path: Path) -> None:
    first, second = jwt("alice", n=1), jwt("alice", n="other")
    file = tmp_path / "token"
    file.write_text(f"{first}\n")
    knox.tokens, knox.sessions = {first}, False
    knit = client(user=None, auth="token", token_file=str(file))
    knit.resourcemanager.info()
    knox.tokens = {second}
    file.write_text("")  # just being written: the old one stays
    with pytest.raises(NotAuthorized):
        knit.resourcemanager.info()
    file.write_text(second)
    knit.resourcemanager.info()
    assert knox.asked[-1].authorization == f"Bearer {second}"


def test_what_a_refused_login_says(knox: Knox, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = client(auth="basic", password="wrong")
    for call in (wrong.resourcemanager.info, lambda: wrong.hdfs):
        with pytest.raises(
            NotAuthorized,
            match=r"the gateway at http://127.* answered 401 \(as alice\); it refuses the user alice or the password",
        ) as caught:
            call()
        assert "password: argument password" in str(caught.value) and "wrong" not in str(caught.value)
    named = client(namenode=f"{knox.address}{TOPOLOGY}", auth="basic", password="wrong")
    with pytest.raises(NotAuthorized, match=r"refused \(as alice\); it refuses the user alice or the password \("):
        named.hdfs.status("/")
    monkeypatch.setenv("KNIT_TOKEN", jwt(exp=1000))
    with pytest.raises(NotAuthorized, match=r"the token \(KNIT_TOKEN\) has expired, at 1970-01-01 00:16:40 UTC"):
        client(auth="token").resourcemanager.info()
    monkeypatch.delenv("KNIT_TOKEN")
    file = tmp_path / "token"
    file.write_text(jwt())
    with pytest.raises(NotAuthorized, match=r"it refuses the token \(token_file, from argument token_file\)"):
        client(auth="token", token_file=str(file)).resourcemanager.info()
    with pytest.raises(NotAuthorized, match=r"asks for a login.* KNIT_PASSWORD.*KNIT_TOKEN_FILE"):
        client(queue="default").resourcemanager.info()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"token": "x" * 20}, r"A token is set \(argument token\) but auth is not set: set auth to token"),
        ({"token": "x" * 20, **PASSWORD}, r"A token is set .* but auth is basic"),
        ({"auth": "token"}, r"auth is token .*KNIT_TOKEN_FILE"),
        ({"auth": "token", "token": "two words!"}, r"token \(argument token\) holds no token"),
        ({"auth": "token", "token": "x" * 20, "token_file": "/y"}, "are both set"),
        ({"auth": "token", "token": "x" * 20, "password": "p"}, r"a password is set .*set auth to basic"),
        (
            {"auth": "token", "token_file": "/nowhere/token"},
            r"token_file /nowhere/token .*cannot be read: No such file",
        ),
    ],
)
def test_mistakes_in_the_settings_of_a_token(client: Client, options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        client(**options)
    assert "x" * 20 not in str(caught.value)


def test_doctor_names_the_gateway(knox: Knox, client: Client) -> None:
    lines = client().check()
    assert any(line.startswith(f"gateway {knox.address}{TOPOLOGY}: YARNUI") for line in lines)
    assert any("the gateway of resourcemanager" in line for line in lines)


def test_two_gateways(knox: Knox, client: Client) -> None:
    other = Knox()
    dead = f"http://127.0.0.1:{other.port}{TOPOLOGY}"
    other.close()
    with Knit(f"{dead},{knox.address}{TOPOLOGY}", user="alice", options=PASSWORD) as knit:
        assert knit.resourcemanager.info()["state"] == "STARTED"
        assert knit.hdfs.home() == "/user/alice"
        assert knit.resourcemanager.address == f"{knox.address}{TOPOLOGY}/yarn"


def test_an_unreachable_gateway_is_named(client: Client) -> None:
    with Knit("http://127.0.0.1:1/gateway/default", user="alice", options=PASSWORD) as knit:
        knit.cluster.retry_timeout = 1.0
        for call in (knit.resourcemanager.info, lambda: knit.hdfs):
            with pytest.raises(KnitError, match=r"at http://127.0.0.1:1\S* \(connection refused\)"):
                call()
