"""A TCP forwarder on loopback with faults that a test switches on and off while it runs.

    with FaultProxy(("127.0.0.1", 8088)) as proxy:
        client = Knit(proxy.url)
        proxy.set(Stall(direction="reply"))  # requests arrive, replies do not
        ...
        proxy.heal()

`direction` is "request" (from the one that connected), "reply" (to it) or "both". `paused(pid)` stops a process instead.
Linux only: `Unreachable` and `Refuse` count on how its kernel treats a full backlog and a bound port.

More than 400 lines: a fault is meant for the proxy that carries it out, and one class keeps the state of its connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

Address = tuple[str, int]
T = TypeVar("T")
REQUEST, REPLY, BOTH = "request", "reply", "both"
_PIECE = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with 0 s: close() sends RST


@dataclass(frozen=True)
class Fault:
    """What is wrong with the connections through a forwarder. Its subclasses are the faults."""

    direction: str = BOTH

    def concerns(self, direction: str) -> bool:
        return self.direction in (BOTH, direction)


@dataclass(frozen=True)
class Delay(Fault):
    """Each piece of up to 64 KiB arrives `seconds` later."""

    seconds: float = 0.5


@dataclass(frozen=True)
class Slow(Fault):
    """`rate` bytes a second; with `first`, only the first so many bytes of each direction (a slow start)."""

    rate: float = 1000.0
    first: int | None = None


@dataclass(frozen=True)
class Cut(Fault):
    """Closes the connection (FIN to both) when byte `after` + 1 is to pass. `Cut("reply")`: done, but the reply is lost."""

    after: int = 0


@dataclass(frozen=True)
class Reset(Fault):
    """Resets the connection (RST to both) when byte `after` + 1 is to pass; None: at once, old and new connections."""

    after: int | None = None


@dataclass(frozen=True)
class Stall(Fault):
    """Passes `after` bytes and holds the rest, as TCP in a partition does: `heal()` delivers what was held."""

    after: int = 0


@dataclass(frozen=True)
class BlackHole(Fault):
    """Connections are made and stay, bytes vanish. `heal()` resets those that have lost some, as a firewall that forgot."""


@dataclass(frozen=True)
class HalfOpen(Fault):
    """Accepts and reads, never answers; nothing reaches the target. Old connections lose their bytes, as in `BlackHole`."""


@dataclass(frozen=True)
class Unreachable(Fault):
    """A connect is never answered (SYN dropped); old connections hold their bytes, as in `Stall`."""


@dataclass(frozen=True)
class Refuse(Fault):
    """Nothing listens: connects are refused, old connections are reset."""


@dataclass(frozen=True)
class RepeatRequest(Fault):
    """Each HTTP request that contains `match` (method, path, headers) is made once more before; that reply is dropped."""

    match: bytes = b""


@dataclass(frozen=True)
class RepeatReply(Fault):
    """Each HTTP reply comes twice, in one piece: one that comes later, HTTP/1.1 cannot tell from the next request's own."""


@dataclass
class Counts:
    """What passed since the start, or since `FaultProxy.reset_counts()`.

    Attributes:
        connections: accepted.
        open: accepted and not yet closed.
        request_bytes: delivered to the target.
        reply_bytes: delivered back.
        struck: connections that the faults have cut, reset, held, or made lose or repeat something.
    """

    connections: int = 0
    open: int = 0
    request_bytes: int = 0
    reply_bytes: int = 0
    struck: int = 0


@dataclass(eq=False)
class _Connection:
    """One client's connection and the one to the target for it."""

    client: socket.socket
    server: socket.socket | None = None
    lost: bool = False
    struck: bool = False
    passed: dict[str, int] = field(default_factory=lambda: {REQUEST: 0, REPLY: 0})
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class FaultProxy:
    """Forwards a loopback address to `target`, with at most one fault at a time.

    Args:
        target: host and port that it forwards to; may be changed later (`proxy.target = …`, for new connections).
        listen: host and port of its own; port 0: a free one.

    Attributes:
        address: where it listens.
        counts: what passed.
        rewrite: texts to be replaced by others of the same length, in both directions: how the addresses in one service's
            replies become those of further forwarders. Take care that no message ends with the beginning of a text.
    """

    def __init__(self, target: Address, listen: Address = ("127.0.0.1", 0)) -> None:
        self.target = target
        self.rewrite: dict[bytes, bytes] = {}
        self.counts = Counts()
        self._fault: Fault | None = None
        self._strikes: int | None = None
        self._connections: set[_Connection] = set()
        self._reserved = _bound(listen)  # never listens: keeps the port while the listener is closed
        self.address: Address = self._reserved.getsockname()[:2]
        self._listener: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"fault-proxy-{self.address[1]}", daemon=True)
        self._thread.start()
        self._call(self._start())

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"FaultProxy({self.address[0]}:{self.address[1]} -> {self.target[0]}:{self.target[1]}, {self.fault})"

    @property
    def url(self) -> str:
        """`http://host:port` of its own."""
        return f"http://{self.address[0]}:{self.address[1]}"

    @property
    def fault(self) -> Fault | None:
        """The fault that is on now."""
        return self._fault

    def set(self, fault: Fault, times: int | None = None) -> None:
        """Switch a fault on, in place of the one before; old connections meet it too.

        Args:
            times: switch it off by itself after so many connections were struck.
        """
        self._call(self._switch(fault, times))

    def heal(self) -> None:
        """Switch the fault off: held bytes go on, connections that lost bytes are reset, new ones are whole."""
        self._call(self._switch(None, None))

    @contextlib.contextmanager
    def failing(self, fault: Fault) -> Iterator[FaultProxy]:
        """With the fault on; healed at the end."""
        self.set(fault)
        try:
            yield self
        finally:
            self.heal()

    def reset_counts(self) -> None:
        """Count from zero; connections that are open now stay counted as open."""
        self.counts = Counts(open=self.counts.open)

    def wait(self, condition: Callable[[Counts], bool], timeout: float = 10.0) -> None:
        """Until the counts satisfy the condition. Raises AssertionError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not condition(self.counts):
            assert time.monotonic() < deadline, f"not within {timeout:g} s: {self.counts}"
            time.sleep(0.01)

    def close(self) -> None:
        """Close everything. Both ends of open connections see them end."""
        if self._thread.is_alive():
            self._call(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()
        self._reserved.close()

    # ------------------------------------------------------------------ in the loop's thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        self._changed = asyncio.Event()
        self._listen()

    async def _stop(self) -> None:
        self._unlisten()
        tasks = [task for connection in self._connections for task in connection.tasks]
        for connection in list(self._connections):
            self._end(connection)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _switch(self, fault: Fault | None, times: int | None) -> None:
        self._fault, self._strikes = fault, times
        if self._fillers or not self._listener or isinstance(fault, (Refuse, Unreachable)):
            self._unlisten()
        for connection in list(self._connections):
            if connection.lost or isinstance(fault, Refuse) or (isinstance(fault, Reset) and fault.after is None):
                self._strike(connection, heal=False)
                self._end(connection, reset=True)
            connection.passed = {REQUEST: 0, REPLY: 0}
            connection.struck = False
        self._changed.set()
        self._changed = asyncio.Event()
        if isinstance(fault, Unreachable):
            await self._fill()
        elif not self._listener and not isinstance(fault, Refuse):
            self._listen()

    def _listen(self) -> None:
        self._listener = _bound(self.address)
        self._listener.listen(128)
        self._loop.add_reader(self._listener, self._accept)

    def _unlisten(self) -> None:
        if self._listener:
            self._loop.remove_reader(self._listener)
            if not self._fillers:
                self._accept()  # what the kernel has accepted counts as an old connection
            self._listener.close()
        for filler in self._fillers:
            filler.close()
        self._listener, self._fillers = None, []

    async def _fill(self) -> None:
        """Listen with a backlog that is full: the kernel answers no further SYN."""
        self._listener = _bound(self.address)
        self._listener.listen(0)
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            self._fillers.append(filler)
            try:
                await asyncio.wait_for(self._loop.sock_connect(filler, self.address), 0.2)
            except (TimeoutError, asyncio.TimeoutError):
                return
        raise AssertionError("the kernel goes on answering connects to a full backlog")

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(client)
            self.counts.connections += 1
            self.counts.open += 1
            self._connections.add(connection)
            connection.tasks.append(self._loop.create_task(self._serve(connection)))

    async def _serve(self, connection: _Connection) -> None:
        try:
            if isinstance(self._fault, Reset) and self._fault.after is None:
                self._strike(connection)
                self._end(connection, reset=True)
                return
            if not isinstance(self._fault, HalfOpen):
                connection.server = socket.socket()
                connection.server.setblocking(False)
                connection.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await self._loop.sock_connect(connection.server, self.target)
                connection.tasks.append(asyncio.create_task(self._guarded(connection, REPLY)))
            await self._guarded(connection, REQUEST)
            if connection.server:
                await asyncio.gather(*connection.tasks[1:])
            self._end(connection)
        except OSError:  # the target refuses: so do we
            self._end(connection, reset=True)

    async def _guarded(self, connection: _Connection, direction: str) -> None:
        try:
            await self._pump(connection, direction)
        except OSError:  # one side has reset: the other is to see it
            self._end(connection, reset=True)

    async def _pump(self, connection: _Connection, direction: str) -> None:
        source = connection.client if direction == REQUEST else connection.server
        assert source is not None
        messages, held = _HttpMessages(), b""
        while connection in self._connections:
            data = await self._loop.sock_recv(source, _PIECE)
            if self.rewrite:
                data, held = self._rewritten(held, data)
                if held and not data:
                    continue
            if not data:
                await self._until_whole(connection, direction)
                sink = connection.server if direction == REQUEST else connection.client
                if sink is not None and connection in self._connections:
                    sink.shutdown(socket.SHUT_WR)
                return
            await self._deliver(connection, direction, data, messages)

    def _rewritten(self, held: bytes, data: bytes) -> tuple[bytes, bytes]:
        """What can be sent on, and an end that may be the beginning of a text."""
        if not data:
            return held, b""
        data = held + data
        for text, other in self.rewrite.items():
            assert len(text) == len(other), (text, other)
            data = data.replace(text, other)
        longest = max(map(len, self.rewrite), default=0)
        for size in range(min(longest - 1, len(data)), 0, -1):
            if any(text.startswith(data[-size:]) for text in self.rewrite):
                return data[:-size], data[-size:]
        return data, b""

    async def _until_whole(self, connection: _Connection, direction: str) -> None:
        """A partition holds the end of a connection back, too."""
        while isinstance(self._fault, (Stall, BlackHole, HalfOpen, Unreachable)) and self._fault.concerns(direction):
            connection.lost = connection.lost or isinstance(self._fault, (BlackHole, HalfOpen))
            await self._changed.wait()

    async def _deliver(self, connection: _Connection, direction: str, data: bytes, messages: _HttpMessages) -> None:
        while data and connection in self._connections:
            fault = self._fault if self._fault and self._fault.concerns(direction) else None
            if isinstance(fault, (BlackHole, HalfOpen)):
                self._strike(connection)
                connection.lost = True
                return
            if isinstance(fault, (Cut, Reset, Stall, Unreachable)):
                data = await self._up_to(connection, direction, data, fault)
            elif isinstance(fault, Slow):
                data = await self._slowly(connection, direction, data, fault)
            elif isinstance(fault, (RepeatRequest, RepeatReply)):
                await self._repeat(connection, direction, messages.feed(data), fault)
                return
            else:
                if isinstance(fault, Delay):
                    self._strike(connection)
                    await self._pause(fault.seconds)
                await self._send(connection, direction, messages.rest() + data)
                return

    async def _up_to(self, connection: _Connection, direction: str, data: bytes, fault: Fault) -> bytes:
        """Send what the fault lets pass, then let it strike. What is left to send when it is over."""
        room = max(0, (getattr(fault, "after", 0) or 0) - connection.passed[direction])
        await self._send(connection, direction, data[:room])
        rest = data[room:]
        if rest:
            self._strike(connection)
            if isinstance(fault, (Stall, Unreachable)):
                if self._fault is fault:
                    await self._changed.wait()
            else:
                self._end(connection, reset=isinstance(fault, Reset))
        return rest

    async def _slowly(self, connection: _Connection, direction: str, data: bytes, fault: Slow) -> bytes:
        size = max(1, int(fault.rate / 20))
        if fault.first is not None:
            size = min(size, fault.first - connection.passed[direction])
            if size <= 0:
                await self._send(connection, direction, data)
                return b""
        self._strike(connection)
        await self._pause(min(size, len(data)) / fault.rate)
        await self._send(connection, direction, data[:size])
        return data[size:]

    async def _repeat(
        self, connection: _Connection, direction: str, messages: list[bytes], fault: RepeatRequest | RepeatReply
    ) -> None:
        for message in messages:
            if direction == REQUEST and isinstance(fault, RepeatRequest) and fault.match in message:
                self._strike(connection)
                await self._ask(message)
            if direction == REPLY and isinstance(fault, RepeatReply):
                self._strike(connection)
                message += message
            await self._send(connection, direction, message)

    async def _ask(self, request: bytes) -> None:
        """Make an HTTP request on a connection of its own and read its whole reply."""
        with socket.socket() as side:
            side.setblocking(False)
            await self._loop.sock_connect(side, self.target)
            await self._loop.sock_sendall(side, request)
            messages = _HttpMessages()
            while not messages.feed(data := await asyncio.wait_for(self._loop.sock_recv(side, _PIECE), 30)) and data:
                pass

    async def _pause(self, seconds: float) -> None:
        """Sleep, or less when the fault changes."""
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    async def _send(self, connection: _Connection, direction: str, data: bytes) -> None:
        sink = connection.server if direction == REQUEST else connection.client
        if not data or sink is None or connection not in self._connections:
            return
        await self._loop.sock_sendall(sink, data)
        connection.passed[direction] += len(data)
        if direction == REQUEST:
            self.counts.request_bytes += len(data)
        else:
            self.counts.reply_bytes += len(data)

    def _strike(self, connection: _Connection, heal: bool = True) -> None:
        if connection.struck:
            return
        connection.struck = True
        self.counts.struck += 1
        if heal and self._strikes is not None:
            self._strikes -= 1
            if self._strikes <= 0:
                self._fault = self._strikes = None

    def _end(self, connection: _Connection, reset: bool = False) -> None:
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self.counts.open -= 1
        for sock in (connection.client, connection.server):
            if sock is not None:
                self._loop.remove_reader(sock)
                self._loop.remove_writer(sock)
                if reset:
                    with contextlib.suppress(OSError):
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.close()
        current = asyncio.current_task()
        for task in connection.tasks:
            if task is not current:
                task.cancel()


class _HttpMessages:
    """Splits a stream into HTTP/1.1 messages, by Content-Length or chunks. What has neither ends with its headers."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now."""
        self._data += data
        found = []
        while (size := self._size()) is not None:
            found.append(self._data[:size])
            self._data = self._data[size:]
        return found

    def rest(self) -> bytes:
        """What was fed and is no whole message, given out once."""
        rest, self._data = self._data, b""
        return rest

    def _size(self) -> int | None:
        head, end, _ = self._data.partition(b"\r\n\r\n")
        if not end:
            return None
        fields = dict(line.lower().partition(b":")[::2] for line in head.split(b"\r\n")[1:])
        start = len(head) + 4
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            if self._data.startswith(b"0\r\n\r\n", start):
                return start + 5
            last = self._data.find(b"\r\n0\r\n\r\n", start)
            return None if last < 0 else last + 7
        size = start + int(fields.get(b"content-length", b"0"))
        return size if len(self._data) >= size else None


def _bound(address: Address) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


@contextlib.contextmanager
def paused(*pids: int) -> Iterator[None]:
    """Stops processes (SIGSTOP) for the block's time: their sockets stay open and nothing answers, as in a partition."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
