"""A small server that behaves like Apache Knox 2.0 before a cluster: paths, logins and replies as a real one has them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme

ALL = ("YARNUI", "RESOURCEMANAGER", "YARNUIV2", "WEBHDFS")
_PATHS = {"YARNUI": "/yarn/", "RESOURCEMANAGER": "/resourcemanager/", "YARNUIV2": "/yarnuiv2/", "WEBHDFS": "/webhdfs/"}
APP = "application_1700000000000_0001"
INFO = {"clusterInfo": {"id": 1, "state": "STARTED", "haState": "ACTIVE", "hadoopVersion": "3.4.2"}}


def jwt(subject: str = "alice", **claims: Any) -> str:
    """A JSON web token; nobody checks its signature here."""
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, {"sub": subject, **claims})]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, b"signature"))


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class Seen:
    """One request: method, path, query and the headers that prove an identity."""

    def __init__(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(target)
        self.method, self.path = method, parts.path
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.authorization = headers.get("Authorization", "")
        self.cookie = headers.get("Cookie", "")


class WebServer:
    """Any server; keeps what it was asked. Subclasses answer."""

    def __init__(self, certificate: trustme.LeafCert | None = None) -> None:
        self.asked: list[Seen] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                seen = Seen(self.command, self.path, dict(self.headers))
                server.asked.append(seen)
                status, headers, reply = server.reply(seen, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply)

            do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        if certificate is not None:
            import ssl

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.port = self._http.server_port
        self.address = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def reply(self, seen: Seen, body: bytes) -> tuple[int, dict[str, str], bytes]:
        raise NotImplementedError

    @property
    def paths(self) -> list[str]:
        return [seen.path for seen in self.asked]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def as_json(value: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


class Elsewhere(WebServer):
    """A server that must get no password: a NameNode, a NodeManager or anything to which a reply leads."""

    def reply(self, seen: Seen, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if "webhdfs" in seen.path:
            return as_json(
                {"Path": "/user/dr.who", "FileStatus": {"length": 0, "modificationTime": 1, "type": "DIRECTORY"}}
            )
        return as_json(INFO)

    @property
    def secrets(self) -> list[str]:
        """What was sent that proves an identity."""
        return [text for seen in self.asked for text in (seen.authorization, seen.cookie) if text]


class Knox(WebServer):
    """One topology, `/gateway/default`.

    Attributes:
        services: roles of the services that it has.
        tokens: JSON web tokens that it accepts; passcodes: headers with a passcode.
        sessions: whether it sets a cookie after a login.
        logins: how often a password or token was checked.
        failing: the status with which a service fails, by role.
        cookie_path: of its cookie.
        conf: the ResourceManager's configuration.
        data: base URL that WebHDFS redirects to, instead of its own.
    """

    def __init__(self, services: tuple[str, ...] = ALL, certificate: trustme.LeafCert | None = None) -> None:
        super().__init__(certificate)
        self.services, self.tokens, self.sessions = services, set[str](), True
        self.passcodes: set[str] = set()
        self.logins, self.data, self.cookie_path = 0, "", "/gateway/default"
        self.failing: dict[str, int] = {}
        self.conf: dict[str, str] = {"fs.defaultFS": "hdfs://nn.example.org:8020"}
        self.frontend = f"{self.address}/gateway/default"
        self.files: dict[str, bytes] = {}
        self._session = ""

    def end_sessions(self) -> None:
        """As its restart."""
        self._session = ""

    def reply(self, seen: Seen, body: bytes) -> tuple[int, dict[str, str], bytes]:
        page = {"Content-Type": "text/html"}
        if not seen.path.startswith("/gateway/default/"):
            return 404, page, b"<html><title>Error 404 Not Found</title></html>"
        path = seen.path.removeprefix("/gateway/default")
        role = next((role for role in self.services if path.startswith(_PATHS[role])), "")
        if not role:
            return 404, {}, b""
        cookies = {}
        if not self._session or f"JSESSIONID={self._session}" not in seen.cookie:
            if "JSESSIONID" in seen.cookie:  # of a session that has ended
                return 401, {"WWW-Authenticate": 'BASIC realm="application"', **page}, b"<html>401</html>"
            self.logins += 1
            cookie = dict(part.split("=", 1) for part in seen.cookie.split("; ") if part).get("hadoop-jwt", "")
            known = seen.authorization in {basic("alice", "secret"), *self.passcodes} or cookie in self.tokens
            if cookie and cookie not in self.tokens:  # as with knox.token.use.cookie
                known, seen.authorization = False, ""
            if not known and seen.authorization.removeprefix("Bearer ") not in self.tokens:
                return 401, {"WWW-Authenticate": 'BASIC realm="application"', **page}, b"<html>401</html>"
            if self.sessions:
                self._session = f"session{self.logins}"
                cookies = {"Set-Cookie": f"JSESSIONID={self._session}; Path={self.cookie_path}; HttpOnly"}
        status, headers, reply = self._of_service(role, path, seen)
        return status, {**headers, **cookies}, reply

    def _of_service(self, role: str, path: str, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        path = path.removeprefix(_PATHS[role].rstrip("/"))
        if role == "WEBHDFS":
            return self._hdfs(path, seen)
        if role in self.failing:
            return self.failing[role], {"Content-Type": "text/html"}, b"<html>error</html>"
        if role == "RESOURCEMANAGER":
            path = f"/ws{path}" if path.startswith("/v1/") else "/nothing"
        if path == "/ws/v1/cluster/info":
            return as_json(INFO)
        if path == "/conf" and role == "YARNUI":
            return as_json({"properties": [{"key": key, "value": value} for key, value in self.conf.items()]})
        if path == f"/ws/v1/cluster/apps/{APP}":
            proxy = f"{self.frontend}/yarn/proxy/{APP}/" if role != "RESOURCEMANAGER" else "x?_=c2VjcmV0"
            return as_json({"app": {"id": APP, "state": "RUNNING", "trackingUrl": proxy}})
        return 404, {}, b""

    def _hdfs(self, path: str, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        operation = seen.query.get("op")
        if operation == "GETHOMEDIRECTORY":
            return as_json({"Path": "/user/alice"})
        if operation == "GETFILESTATUS":
            return as_json({"FileStatus": {"length": 0, "modificationTime": 1, "type": "DIRECTORY"}})
        if path.startswith("/v1/") and operation in {"CREATE", "OPEN"}:
            place = f"{self.data or self.frontend}/webhdfs/data{path}?_=c2VjcmV0"
            return 307, {"Location": place}, b""
        if path.startswith("/data/"):
            return (201, {}, b"") if seen.method == "PUT" else (200, {}, b"content")
        return 404, {}, b""
