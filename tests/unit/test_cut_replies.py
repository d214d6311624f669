"""A reply that breaks off anywhere is never believed, by none of the HTTP clients."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import requests

from knit_container.tls import connect
from knit_core.hadoop.http import DirectTransport, Endpoint, HttpService
from knit_core.hadoop.http.auth import SimpleAuth

Client = Callable[[str], bytes]
BODY = b'{"boolean": false}'
#: The announcement that the connection ends, and a length that comes last: what comes before it looks like all of a head.
REPLIES = {
    "length": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: a/b\r\nContent-Length: 18\r\n\r\n" + BODY,
    "chunks": b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n"
    + BODY
    + b"\r\n0\r\n\r\n",
}


@contextmanager
def answering(reply: Callable[[], bytes]) -> Iterator[str]:
    """`host:port` of a server that answers each connection so, and closes it."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(reply())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield "{}:{}".format(*listener.getsockname())
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def of_requests(address: str) -> bytes:
    with HttpService(Endpoint("NameNode", (f"http://{address}",), SimpleAuth("alice"))).new_session() as session:
        return session.get(f"http://{address}/x", timeout=10).content


def direct(address: str) -> bytes:
    client = DirectTransport()
    try:
        return client.send("GET", f"http://{address}/x", b"", (10, 10))[1]
    finally:
        client.close()


def in_container(address: str) -> bytes:
    connection = connect("http", address, 10)
    try:
        connection.request("GET", "/x")
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize("kind", REPLIES)
@pytest.mark.parametrize("client", [of_requests, direct, in_container])
def test_a_reply_that_breaks_off_anywhere_is_no_reply(client: Client, kind: str) -> None:
    whole = REPLIES[kind]
    sent = whole
    with answering(lambda: sent) as address:
        assert client(address) == BODY
        enough = len(whole) - (len(b"\r\n\r\n") if kind == "chunks" else 0)  # the last chunk's 0 says that it was all
        for after in range(enough):
            sent = whole[:after]
            with pytest.raises((requests.RequestException, http.client.HTTPException, OSError)):
                assert client(address) == f"{after} bytes of {kind}"
