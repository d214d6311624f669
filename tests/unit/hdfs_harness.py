"""Servers on the loopback that play NameNode, DataNode or HttpFS by a function; with TLS where a test wants it."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

Reply = tuple[int, str | bytes, dict[str, str]]  # status (0: the connection breaks), body, headers
Answer = Callable[[str, str], Reply]  # operation (empty: not of WebHDFS), path -> reply


def refusal(exception: str, message: str = "its words", status: int = 403) -> Reply:
    """As NameNodes, DataNodes and HttpFS say it."""
    body = {"RemoteException": {"exception": exception, "javaClassName": f"java.{exception}", "message": message}}
    return status, json.dumps(body), {"Content-Type": "application/json"}


def done(value: bool = True) -> Reply:
    return 200, json.dumps({"boolean": value}), {"Content-Type": "application/json"}


def file_status(kind: str = "FILE") -> Reply:
    row = {"length": 1, "modificationTime": 1, "type": kind, "owner": "alice", "permission": "600"}
    return 200, json.dumps({"FileStatus": row}), {"Content-Type": "application/json"}


class Server:
    """Answers by a function; keeps (operation, path) and the parameters of what was asked, and the destinations of renames.

    Args:
        answer: from operation and path to the reply.
        tls: certificate with key; None: plain HTTP.
    """

    def __init__(self, answer: Answer, tls: Path | None = None) -> None:
        self.asked: list[tuple[str, str]] = []
        self.targets: list[str] = []
        self.queries: list[dict[str, list[str]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                if "chunked" in self.headers.get("Transfer-Encoding", ""):
                    while size := int(self.rfile.readline(), 16):
                        self.rfile.read(size + 2)
                    self.rfile.readline()
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                url = urlsplit(self.path)
                operation = parse_qs(url.query).get("op", [""])[0]
                server.asked.append((operation, url.path.removeprefix("/webhdfs/v1")))
                server.queries.append(parse_qs(url.query))
                server.targets.append(parse_qs(url.query).get("destination", [""])[0])
                status, text, headers = answer(*server.asked[-1])
                body = text.encode() if isinstance(text, str) else text
                self.close_connection = True
                if not status:
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = do_PUT

            def log_message(self, *_args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.address = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test."""
    running: list[Server] = []

    def start(answer: Answer, tls: Path | None = None) -> Server:
        running.append(Server(answer, tls))
        return running[-1]

    yield start
    for server in running:
        server.close()


def namenode(datanode: str) -> Answer:
    """One that sends data to `datanode` and is content with all else."""

    def answer(operation: str, path: str) -> Reply:
        if operation == "CREATE":
            return 307, "", {"Location": f"{datanode}/webhdfs/v1{path}?op=CREATE"}
        return file_status() if operation == "GETFILESTATUS" else done()

    return answer


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, and its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a cluster of a test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path
