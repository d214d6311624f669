"""Programs started with this folder on PYTHONPATH connect only to the ports in MATRIX_PORTS: a firewall for tests."""

import os
import socket
from typing import Any

if _allowed := os.environ.get("MATRIX_PORTS"):
    _ports = {int(port) for port in _allowed.split(",")}
    _connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex

    def _blocked(address: Any) -> bool:
        return isinstance(address, tuple) and address[1] not in _ports

    def connect(self: socket.socket, address: Any) -> None:
        if _blocked(address):
            raise ConnectionRefusedError(111, "blocked by the matrix's firewall")
        _connect(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        return 111 if _blocked(address) else _connect_ex(self, address)

    socket.socket.connect, socket.socket.connect_ex = connect, connect_ex  # type: ignore[method-assign]
