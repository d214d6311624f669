"""Runs in the containers of a Dask cluster: `python dask_node.py scheduler|worker|script OPTIONS [words]`.

OPTIONS are JSON, written by knit_core.dask_yarn.services. The scheduler publishes its address in the application's
key-value store, under `dask/scheduler`; workers and scripts wait for it. TLS keys are in a file in the working folder, and
never on a command line or in a variable.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import importlib.metadata
import itertools
import json
import os
import platform
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import knit_container as knit

SCHEDULER_KEY = "dask/scheduler"
TLS_FILE = "dask-tls.json"
PAGE = "/knit"  # the start page, from dask_page.py
NO_DASK, NO_SCHEDULER = 78, 75  # exit codes: EX_CONFIG and EX_TEMPFAIL of sysexits.h
COMPARED = ("dask", "distributed", "cloudpickle", "msgpack", "tornado", "numpy", "pandas", "pyarrow", "toolz", "lz4")
_SHORTEST_LIFE = 10.0  # seconds; a worker that closes sooner ends its container, which is restarted with growing delays


def versions() -> dict[str, str]:
    """Versions that must agree between client and cluster."""
    found = {"python": platform.python_version()}
    for name in COMPARED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def host() -> str | None:
    """The node's address in YARN; None if it cannot be bound (Docker): then Dask chooses one."""
    name = os.environ.get("NM_HOST", "")
    try:
        with socket.create_server((name, 0)):
            return name or None
    except OSError:
        return None


def free_port(ports: str, where: str | None) -> int:
    """A free port of a range `first:last`; 0 (any) for an empty text."""
    if not ports:
        return 0
    first, _, last = ports.partition(":")
    for port in range(int(first), int(last or first) + 1):
        try:
            with socket.create_server((where or "", port)):
                return port
        except OSError:
            continue
    sys.exit(f"knit: no port of {ports} is free on {where or socket.gethostname()}")


def tls() -> dict[str, str]:
    """Keys and certificates, as fields of `distributed.Security`; empty without TLS."""
    path = Path(TLS_FILE)
    return dict(json.loads(path.read_text())) if path.exists() else {}


def security() -> Any:
    """`distributed.Security` of this cluster."""
    from distributed import Security

    given = tls()
    return Security(require_encryption=bool(given), **given)


def local_directory() -> str:
    """A folder on one of YARN's disks, chosen by rank; the container's working folder if it is on that disk."""
    here = Path.cwd()
    disks = [disk for disk in os.environ.get("LOCAL_DIRS", "").split(",") if disk]
    if not disks or "CONTAINER_ID" not in os.environ:
        return str(here)
    disk = Path(disks[knit.instance % len(disks)])
    if here.is_relative_to(disk):
        return str(here)
    folder = disk / f"dask-{os.environ['CONTAINER_ID']}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return str(folder)


async def stop_signal() -> int:
    """Wait for SIGTERM or SIGINT; returns its number."""
    caught: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def set_once(number: int) -> None:
        if not caught.done():
            caught.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, set_once, number)
    return await caught


# ---------------------------------------------------------------------------------------------------------- scheduler


async def scheduler(options: dict[str, Any]) -> int:
    """Run the scheduler until a signal, its end by a client, or `idle_timeout`."""
    import dask
    from distributed import Scheduler

    routes = "distributed.scheduler.http.routes"
    dask.config.set({routes: [*dask.config.get(routes), "dask_page"]})
    where = host()
    server = Scheduler(
        host=where,
        interface=options.get("interface"),
        port=free_port(options.get("ports", ""), where),
        security=security(),
        dashboard=True,
        dashboard_address=f":{free_port(options.get('dashboard_ports', ''), '')}",
        preload=options.get("preload") or [],
    )
    listen_for_unrunnable(server)
    stop = asyncio.ensure_future(stop_signal())
    await server
    port = server.identity().get("services", {}).get("dashboard")
    contact = urlsplit(server.address).hostname
    raw = Path(TLS_FILE).read_bytes() if Path(TLS_FILE).exists() else b""
    record = {
        "address": server.address,
        "dashboard": f"http://{contact}:{port}/status" if port else "",
        "tls": hashlib.sha256(raw).hexdigest() if raw else "",
        "versions": versions(),
        "groups": options.get("groups", {}),
        "container": os.environ.get("CONTAINER_ID", ""),
    }
    await asyncio.to_thread(knit.kv.put, SCHEDULER_KEY, record)
    if port:
        await asyncio.to_thread(knit.page, "dashboard", port, PAGE)
    await asyncio.to_thread(knit.ready)
    idle = asyncio.ensure_future(_idle(server, float(options.get("idle_timeout") or 0)))
    closed = asyncio.ensure_future(server.finished())
    done, _ = await asyncio.wait({stop, idle, closed}, return_when=asyncio.FIRST_COMPLETED)
    if stop in done:
        await server.close()
        return 0
    why = f"no client and no work for {options['idle_timeout']:g} s" if idle in done else "closed by a client"
    await server.close()
    await asyncio.to_thread(knit.shutdown, "SUCCEEDED", f"the Dask cluster has ended: {why}")
    return 0


def unrunnable(server: Any) -> list[dict[str, float]]:
    """Abstract resources of the tasks that no worker can run: each combination once, of the first 10,000 tasks."""
    tasks = itertools.islice(list(server.unrunnable), 10_000)
    kinds = {tuple(sorted((task.resource_restrictions or {}).items())) for task in tasks}
    return [dict(kind) for kind in sorted(kinds)]


def listen_for_unrunnable(server: Any) -> None:
    """Add a handler to the scheduler that returns `unrunnable`, for `KnitAdaptive`."""
    server.handlers["knit_unrunnable"] = lambda: unrunnable(server)


async def _idle(server: Any, limit: float) -> None:
    """Wait until there was neither a client nor work for `limit` seconds; for ever with 0."""
    since = time.monotonic()
    while True:
        await asyncio.sleep(min(1.0, limit / 4 or 1.0))
        # a task that submits tasks leaves a client on its worker; such clients do not count, their work does
        clients = [
            name for name in server.clients if name != "fire-and-forget" and not name.startswith("Client-worker-")
        ]
        if clients or server.check_idle() is None:
            since = time.monotonic()
        elif limit and time.monotonic() - since > limit:
            return


# ------------------------------------------------------------------------------------------------------------- workers


async def worker(options: dict[str, Any]) -> int:
    """Run workers until a signal; after a restart of the scheduler, connect to the new one."""
    stop = asyncio.ensure_future(stop_signal())
    while True:
        record = await _scheduler(stop, float(options["death_timeout"]))
        if record is None:
            return 0 if stop.done() else NO_SCHEDULER
        began = time.monotonic()
        servers = [_server(record["address"], number, options) for number in range(options["processes"])]
        ended = asyncio.ensure_future(_run(servers))
        await asyncio.wait({stop, ended}, return_when=asyncio.FIRST_COMPLETED)
        if stop.done():
            await asyncio.gather(*(server.close() for server in servers), return_exceptions=True)
            return 0
        fault = ended.exception()
        if fault is not None:
            print(f"knit: the worker could not be started: {fault!r}", file=sys.stderr)
        if time.monotonic() - began < _SHORTEST_LIFE and await _unchanged(record):
            return 1
        print("knit: the worker has closed; waiting for the scheduler", file=sys.stderr)


async def _run(servers: list[Any]) -> None:
    await asyncio.gather(*servers)
    await asyncio.gather(*(server.finished() for server in servers))


async def _unchanged(record: dict[str, Any]) -> bool:
    """Whether the scheduler is still the same: then a worker that closed early has a fault of its own."""
    return await asyncio.to_thread(_listens, record["address"]) and record == await asyncio.to_thread(
        knit.kv.get, SCHEDULER_KEY
    )


async def _scheduler(stop: asyncio.Future[int], retry_timeout: float) -> dict[str, Any] | None:
    """The record of a scheduler that accepts connections; None after `retry_timeout` seconds without one, or a signal."""
    deadline = time.monotonic() + retry_timeout
    while not stop.done():
        record = await asyncio.to_thread(knit.kv.get, SCHEDULER_KEY)
        if record and await asyncio.to_thread(_listens, record["address"]):
            return dict(record)
        if time.monotonic() > deadline:
            print(f"knit: no Dask scheduler for {retry_timeout:g} s (last known: {record})", file=sys.stderr)
            return None
        await asyncio.wait({stop}, timeout=0.2)
    return None


def _listens(address: str) -> bool:
    place = urlsplit(address)
    try:
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=3):
            return True
    except OSError:
        return False


def _server(address: str, number: int, options: dict[str, Any]) -> Any:
    import distributed

    name = os.environ["KNIT_CONTAINER"]
    if knit.attempt > 1:
        name += f".{knit.attempt}"
    if options["processes"] > 1:
        name += f"-{number}"
    settings = {
        "name": name,
        "nthreads": options["threads"],
        "memory_limit": options["memory_limit"],
        "resources": options.get("worker_resources") or None,
        "local_directory": local_directory(),
        "death_timeout": options["death_timeout"],
        "preload": options.get("preload") or [],
        "security": security(),
        "host": host(),
        "interface": options.get("interface"),
        "dashboard_address": ":0",
    }
    if settings["interface"]:
        settings["host"] = None
    kind = distributed.Worker
    if options.get("worker_class"):
        module, _, attribute = options["worker_class"].rpartition(".")
        kind = getattr(importlib.import_module(module), attribute)
    ports = options.get("ports") or None
    if not options["nanny"]:
        return kind(address, port=ports, **settings)
    return distributed.Nanny(address, worker_class=kind, worker_port=ports or 0, port=ports, **settings)


# -------------------------------------------------------------------------------------------------------------- script


def script(options: dict[str, Any], words: list[str]) -> int:
    """Replace this process by `python words…`, with Dask configured so that `Client()` connects to this cluster."""
    record = knit.kv.wait(SCHEDULER_KEY, timeout=float(options["death_timeout"]))
    variables = {**os.environ, "DASK_SCHEDULER_ADDRESS": record["address"]}
    variables["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    given = tls()
    if given:
        folder = Path.cwd() / ".dask-tls"
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, key in (
            ("tls_ca_file", "CA_FILE"),
            ("tls_client_cert", "CLIENT__CERT"),
            ("tls_client_key", "CLIENT__KEY"),
        ):
            path = folder / f"{name}.pem"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(given[name])
            variables[f"DASK_DISTRIBUTED__COMM__TLS__{key}"] = str(path)
        variables["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] = "True"
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *words], variables)


def main() -> int:
    """Run one role; returns the exit code."""
    role, options = sys.argv[1], json.loads(sys.argv[2])
    sys.path.insert(
        0, str(Path.cwd())
    )  # the working folder, for imports of the container's files: Python resolves links to programs
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        print(
            f"knit: the environment of this container has no Dask ({error}): "
            "create it with the packages dask and distributed, in the versions of the client",
            file=sys.stderr,
        )
        return NO_DASK
    if role == "script":
        return script(options, sys.argv[3:])
    return asyncio.run({"scheduler": scheduler, "worker": worker}[role](options))


if __name__ == "__main__":
    sys.exit(main())
