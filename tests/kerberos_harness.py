"""A real KDC for tests, and a small HTTP server that asks for SPNEGO as Hadoop's do."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from knit_core.local.ports import RANGE, is_free
from knit_core.local.secure.kdc import Kdc, program
from knit_core.local.secure.kerberos_files import DAEMONS_KEYTAB, REALM, keytab_of
from tests.cluster_harness import eventually


class Realm:
    """A KDC with the users alice and bob.

    Attributes:
        kdc: it.
        folder: of keytabs and caches.
    """

    def __init__(self, folder: Path) -> None:
        port = next(port for port in RANGE if is_free("127.0.0.1", port))
        self.folder = folder
        self.kdc = Kdc(folder, port, folder / "kdc.log")
        self.kdc.prepare(["alice", "bob"])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it listens."""
        with (self.folder / "kdc.out").open("ab") as out:
            self._process = subprocess.Popen(
                self.kdc.command(), env=self.kdc.environment(os.environ), stdout=out, stderr=out
            )
        eventually(lambda: self.kdc.answers, 10, "the KDC listens")

    def stop(self) -> None:
        """End the server."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def keytab(self, user: str) -> Path:
        """A user's keytab."""
        return keytab_of(self.folder, user)

    def kinit(self, user: str, cache: Path, *options: str) -> None:
        """Get a ticket into a cache."""
        subprocess.run(
            [program("kinit"), "-kt", str(self.keytab(user)), "-c", str(cache), *options, f"{user}@{REALM}"],
            env=self.kdc.environment(os.environ), check=True, capture_output=True, timeout=30,
        )  # fmt: skip

    def admin(self, *commands: str) -> None:
        """Commands of kadmin.local."""
        self.kdc._run(["kadmin.local"], "\n".join((*commands, "quit", "")))


class Protected:
    """A web server with Kerberos: it accepts tickets for `HTTP/localhost` and then a signed cookie.

    Attributes:
        asked: of each request: method, path, query, the user that the ticket or cookie proved ("" for none).
        cookies: whether a login sets a cookie.
    """

    def __init__(self, realm: Realm) -> None:
        import gssapi

        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        self.cookies, self.open = True, False
        self.handshakes = 0
        name = gssapi.Name(f"HTTP/localhost@{REALM}", gssapi.NameType.kerberos_principal)
        credentials = gssapi.Credentials(
            name=name, usage="accept", store={"keytab": str(realm.folder / DAEMONS_KEYTAB)}
        )
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                user, token = self._login()
                server.asked.append((self.command, parts.path, query, user))
                if not user and not server.open:
                    self._answer(401, {"message": "Authentication required"}, {"WWW-Authenticate": "Negotiate"})
                    return
                headers = {}
                if token is not None:
                    headers["WWW-Authenticate"] = f"Negotiate {base64.b64encode(token).decode()}"
                    if server.cookies:
                        headers["Set-Cookie"] = f'hadoop.auth="u={user}"; Path=/; HttpOnly'
                self._answer(200, {"user": user, "path": parts.path, "body": body.decode()}, headers)

            do_POST = do_PUT = do_GET

            def _login(self) -> tuple[str, bytes | None]:
                cookie = self.headers.get("Cookie") or ""
                if 'hadoop.auth="u=' in cookie:
                    return cookie.partition('"u=')[2].partition('"')[0], None
                kind, _, text = (self.headers.get("Authorization") or "").partition(" ")
                if kind != "Negotiate":
                    return "", None
                context = gssapi.SecurityContext(creds=credentials, usage="accept")
                reply = context.step(base64.b64decode(text))
                server.handshakes += 1
                return str(context.initiator_name).partition("@")[0], reply or b""

            def _answer(self, status: int, content: object, headers: dict[str, str]) -> None:
                data = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # a client that goes
                    super().handle()

            def log_message(self, *_args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://localhost:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """End it."""
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture(scope="session")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """A KDC that runs; a test that stops it starts it again."""
    made = Realm(tmp_path_factory.mktemp("realm"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def in_realm(realm: Realm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Realm:
    """The realm is this process's, which has no ticket."""
    monkeypatch.setenv("KRB5_CONFIG", str(realm.kdc.krb5_conf))
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path}/tickets")
    return realm


@pytest.fixture
def protected(in_realm: Realm) -> Iterator[Protected]:
    """A server with Kerberos."""
    made = Protected(in_realm)
    yield made
    made.close()
