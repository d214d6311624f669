"""https to real servers with certificates of every kind: who is trusted, and what is said of who is not."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

from knit_core import Knit
from knit_core.config import load_config
from knit_core.errors import ConfigError, ConnectionFailed, UnexpectedReply
from knit_core.hadoop.http import Endpoint, HttpService, RetryPolicy, SimpleAuth, Tls, tls
from knit_core.hadoop.http.fault_reasons import reason_of

Start = Callable[..., str]
#: The paths that each server was asked for, by its port.
asked: dict[int, list[str]] = {}


class _Handler(BaseHTTPRequestHandler):
    redirected_to = ""

    def do_GET(self) -> None:
        self.server.paths.append(self.path)  # type: ignore[attr-defined]
        body = b'{"fine": true}'
        self.send_response(307 if self.redirected_to else 200)
        if self.redirected_to:
            self.send_header("Location", self.redirected_to)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.paths: list[str] = []

    def handle_error(self, *_args: Any) -> None:  # a handshake that failed is the test's matter
        pass


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(certificate, clients=None, to="")`: the address of a server, over TLS if it has a certificate."""
    servers: list[_Server] = []

    def run(certificate: trustme.LeafCert | None = None, clients: trustme.CA | None = None, to: str = "") -> str:
        server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"redirected_to": to}))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            if clients is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                clients.configure_trust(context)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        asked[server.server_address[1]] = server.paths
        return f"{'https' if certificate else 'http'}://localhost:{server.server_address[1]}"

    yield run
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def ask(address: str, **settings: str) -> Any:
    service = HttpService(
        Endpoint("ResourceManager", (address,), SimpleAuth("alice"), Tls(**settings)), RetryPolicy(budget=0)
    )
    try:
        return service.get_json("/", action="ask")
    finally:
        service.close()


def test_an_authority_of_ones_own(start: Start, authority: trustme.CA, ca: str) -> None:
    address = start(authority.issue_cert("localhost"))
    assert ask(address, ca=ca) == {"fine": True}
    with pytest.raises(
        ConnectionFailed, match=r"TLS failed\); its certificate is of an authority that is not trusted.*KNIT_CA"
    ):
        ask(address)


def test_the_systems_authorities_are_trusted(
    start: Start, authority: trustme.CA, ca: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL's variable stands for the system's store here, which a test must not change."""
    monkeypatch.setenv("SSL_CERT_FILE", ca)
    tls._system_certificates.cache_clear()
    try:
        assert ask(start(authority.issue_cert("localhost"))) == {"fine": True}
    finally:
        tls._system_certificates.cache_clear()


def test_what_is_wrong_with_a_certificate_is_said(start: Start, authority: trustme.CA, ca: str) -> None:
    past = datetime.now(timezone.utc) - timedelta(days=1)
    for certificate, words in (
        (authority.issue_cert("localhost", not_after=past), "its certificate has expired"),
        (
            authority.issue_cert("other.example.org"),
            r"its certificate is another host's .*'localhost'.*: use the name in",
        ),
    ):
        with pytest.raises(ConnectionFailed, match=rf"\(TLS failed\); {words}"):
            ask(start(certificate), ca=ca)


def test_the_wrong_scheme_is_said(start: Start, authority: trustme.CA, ca: str) -> None:
    secured, plain = start(authority.issue_cert("localhost")), start()
    with pytest.raises(ConnectionFailed, match="it speaks https, not http: write https://"):
        ask(secured.replace("https://", "http://"))
    with pytest.raises(ConnectionFailed, match="it speaks http, not https: write http://"):
        ask(plain.replace("http://", "https://"), ca=ca)


def test_a_redirect_to_http_is_not_followed(start: Start, authority: trustme.CA, ca: str) -> None:
    plain, secured = start(), start(authority.issue_cert("localhost"))
    with pytest.raises(UnexpectedReply, match=rf"redirects to {plain}, which is not encrypted.*yarn.http.policy"):
        ask(start(authority.issue_cert("localhost"), to=f"{plain}/secret?delegation=token"), ca=ca)
    assert asked[int(plain.rpartition(":")[2])] == []
    assert ask(start(authority.issue_cert("localhost"), to=f"{secured}/"), ca=ca) == {"fine": True}
    assert ask(start(to=f"{secured}/"), ca=ca) == ask(start(to=f"{plain}/")) == {"fine": True}


def test_a_client_certificate(start: Start, authority: trustme.CA, ca: str, tmp_path: Path) -> None:
    clients = trustme.CA()
    mine = clients.issue_cert("alice@example.org")
    mine.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    address = start(authority.issue_cert("localhost"), clients)
    assert ask(address, ca=ca, certificate=str(tmp_path / "both.pem")) == {"fine": True}
    apart = {"certificate": str(tmp_path / "certificate.pem"), "key": str(tmp_path / "key.pem")}
    assert ask(address, ca=ca, **apart) == {"fine": True}
    with pytest.raises(ConnectionFailed, match="does it require a client certificate"):
        ask(address, ca=ca)


def test_nothing_is_verified_and_that_is_said_once(
    start: Start, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """(urllib3's own warning, one per connection, would be an error here.)"""
    monkeypatch.setattr(tls, "_warned", threading.Event())
    addresses = [start(authority.issue_cert("other.example.org")) for _ in range(2)]
    with caplog.at_level(logging.WARNING):
        for address in addresses:
            assert ask(address, ca="false") == {"fine": True}
    assert [record.getMessage() for record in caplog.records] == [
        "the identity of https servers is not verified (ca: false): anybody between can read and change data"
    ]


# -- the settings -------------------------------------------------------------------------------------------------------


def config(**variables: str) -> Any:
    return load_config("http://rm:8088", environ={"USER": "alice", "HOME": "/nowhere", **variables}, user="alice")


def test_certificates_that_cannot_be_used_are_named(ca: str, tmp_path: Path) -> None:
    (tmp_path / "words.pem").write_text("not a certificate")
    (tmp_path / "mine.pem").write_bytes(trustme.CA().issue_cert("a@example.org").private_key_and_cert_chain_pem.bytes())
    words, mine = str(tmp_path / "words.pem"), str(tmp_path / "mine.pem")
    assert config(KNIT_CA=ca).get("ca") == ca
    assert config(KNIT_CA=str(tmp_path)).get("ca") == str(tmp_path)
    assert config(KNIT_CLIENT_CERTIFICATE=mine).get("client_certificate") == mine
    for variables, problem in (
        ({"KNIT_CA": "/no/ca.pem"}, r"ca '/no/ca.pem' \(KNIT_CA\) does not exist"),
        ({"KNIT_CA": words}, r"words.pem' \(KNIT_CA\) contains no certificates"),
        ({"KNIT_CLIENT_KEY": mine}, "client_key .* needs client_certificate"),
        ({"KNIT_CLIENT_CERTIFICATE": "/no/me.pem"}, "/no/me.pem does not exist"),
        ({"KNIT_CLIENT_CERTIFICATE": ca}, "are not a certificate and its private key"),
        ({"KNIT_CLIENT_CERTIFICATE": mine, "KNIT_CLIENT_KEY": words}, "are not a certificate and its private key"),
    ):
        with pytest.raises(ConfigError, match=problem):
            config(**variables)


def test_an_encrypted_key_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    mine = trustme.CA().issue_cert("a@example.org")
    key = serialization.load_pem_private_key(mine.private_key_pem.bytes(), None)
    hidden = serialization.BestAvailableEncryption(b"secret")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (tmp_path / "me.pem").write_bytes(key.private_bytes(*form, hidden) + mine.cert_chain_pems[0].bytes())
    with pytest.raises(ConfigError, match="its key is encrypted"):
        config(KNIT_CLIENT_CERTIFICATE=str(tmp_path / "me.pem"))


def test_the_bundle_of_requests_is_used_unless_knit_has_its_own(ca: str) -> None:
    found = config(REQUESTS_CA_BUNDLE=ca)
    assert (found.settings["ca"].value, found.settings["ca"].source) == (ca, "REQUESTS_CA_BUNDLE")
    assert config(REQUESTS_CA_BUNDLE=ca, KNIT_CA="false").get("ca") == "false"
    assert config(REQUESTS_CA_BUNDLE="/no/ca.pem").get("ca") is None, "nobody needs it for http"
    with pytest.raises(ConfigError, match=r"ca '/no/ca.pem' \(REQUESTS_CA_BUNDLE\) does not exist"):
        config(REQUESTS_CA_BUNDLE="/no/ca.pem", KNIT_NAMENODE="https://nn:9871")


def test_only_a_refused_certificate_is_certain_to_have_sent_nothing() -> None:
    """A POST whose TLS connection ends is not repeated: it may have been carried out."""
    refused = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    assert reason_of(requests.exceptions.SSLError(refused)) == ("TLS failed", True)
    ended = ssl.SSLEOFError(8, "EOF occurred in violation of protocol")
    assert reason_of(requests.exceptions.SSLError(ended)) == ("TLS failed", False)


def test_a_client_has_its_settings(start: Start, authority: trustme.CA, ca: str) -> None:
    with Knit(start(authority.issue_cert("localhost")), user="alice", options={"ca": ca}) as knit:
        assert knit.resourcemanager.http.get_json("/", action="ask") == {"fine": True}
