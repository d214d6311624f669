"""A proxy on loopback, HTTP or SOCKS5, that leads every name to this machine, and notes where it was asked to go."""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import struct
import threading
from typing import Any
from urllib.parse import urlsplit


class Proxy:
    """A proxy; `asked` is (host, port) of each connection, `user` what it wants as `user:password`."""

    def __init__(self, kind: str, user: str = "") -> None:
        self.kind, self.user = kind, user
        self.asked: list[tuple[str, int]] = []
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self._server.daemon_threads = True
        scheme = "socks5h" if kind == "socks" else "http"
        self.place = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{scheme}://{f'{user}@' if user else ''}{self.place}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(socketserver.BaseRequestHandler):
    proxy: Proxy

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self._socks() if self.proxy.kind == "socks" else self._http()

    def _http(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self.request.recv(65536)
            if not piece:
                return
            head += piece
        first, _, rest = head.partition(b"\r\n")
        method, target, version = first.decode().split(" ")
        wanted = base64.b64encode(self.proxy.user.encode()).decode()
        if wanted and f"Proxy-Authorization: Basic {wanted}".lower() not in head.decode("latin-1").lower():
            self.request.sendall(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            return
        parts = urlsplit(target)
        path = target.removeprefix(f"{parts.scheme}://{parts.netloc}") or "/"
        server = self._connect(str(parts.hostname), parts.port or 80)
        server.sendall(f"{method} {path} {version}\r\n".encode() + b"Connection: close\r\n" + rest)
        self._pump(server)

    def _socks(self) -> None:
        _, count = self._take(2)
        self._take(count)
        self.request.sendall(b"\x05\x00")
        *_, kind = self._take(4)
        assert kind == 3, "the client should leave names to the proxy"
        host = self._take(self._take(1)[0]).decode()
        (port,) = struct.unpack(">H", self._take(2))
        server = self._connect(host, port)
        self.request.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        self._pump(server)

    def _connect(self, host: str, port: int) -> socket.socket:
        self.proxy.asked.append((host, port))
        return socket.create_connection(("127.0.0.1", port), 10)

    def _take(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            piece = self.request.recv(count - len(found))
            if not piece:
                raise ConnectionError
            found += piece
        return found

    def _pump(self, server: socket.socket) -> None:
        def back() -> None:
            _copy(server, self.request)

        thread = threading.Thread(target=back, daemon=True)
        thread.start()
        _copy(self.request, server)
        thread.join(20)
        server.close()


def _copy(source: Any, target: Any) -> None:
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
    except OSError:
        pass
    finally:
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
