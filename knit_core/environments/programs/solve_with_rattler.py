"""Solves and installs conda packages with py-rattler. Commands and events are JSON objects, one a line, over pipes.

It is a separate process because py-rattler can crash the interpreter at its exit. This process ends with `os._exit`, and
after a crash the caller reads its exit code.

    in:   {"command": "solve", "platform", "specs", "channels", "native", "repodata"}
          {"command": "fetch", "platform", "locked", "prefix", "packages"}
          {"command": "read_lock", "platform", "path", "environment"}
          {"command": "install", "platform", "prefix", "embedded", "packages"}
    out:  {"event": "solved", "records"}
          {"event": "fetched"}
          {"event": "read", "packages"}
          {"event": "installed"}
          {"event": "progress", "stage", "message", "done", "total"}
          {"event": "error", "kind", "message"}

It ends at the end of its input, so that it does not outlive a killed caller.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

Commands = queue.SimpleQueue[dict[str, Any]]
Emit = Callable[..., None]

PROGRESS_INTERVAL = 0.1  # seconds between two events of a running download


def main() -> None:
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # keep output of libraries out of the events
    commands: Commands = queue.SimpleQueue()
    threading.Thread(target=read_commands, args=(commands,), daemon=True).start()

    def emit(event: str, **fields: object) -> None:
        out.write(json.dumps({"event": event, **fields}) + "\n")

    try:
        asyncio.run(serve(commands, emit))
    except Exception as error:
        emit("error", kind=type(error).__name__, message=str(error))
    out.flush()
    os._exit(0)


def read_commands(commands: Commands) -> None:
    for line in sys.stdin:
        commands.put(json.loads(line))
    os._exit(0)


async def serve(commands: Commands, emit: Emit) -> None:
    records: list[Any] = []
    while True:
        command = commands.get()
        if command["command"] == "solve":
            records = await solve(command)
            emit("solved", records=[json.loads(record.to_json()) for record in records])
        elif command["command"] == "fetch":
            records = await fetch(command, emit)
            emit("fetched")
        elif command["command"] == "read_lock":
            emit("read", packages=read_lock(command))
        else:
            await install(records, command, emit)
            emit("installed")


async def solve(command: dict[str, Any]) -> list[Any]:
    import rattler

    records: list[Any] = await rattler.solve(
        sources=command["channels"],
        specs=command["specs"],
        platforms=[command["platform"], "noarch"],
        gateway=rattler.Gateway(cache_dir=command["repodata"]),
        virtual_packages=rattler.VirtualPackage.detect() if command["native"] else assumed_system(),
    )
    return records


def assumed_system() -> list[Any]:
    """The virtual packages of another platform than this machine's: the least that conda-forge supports."""
    import rattler

    return [
        rattler.GenericVirtualPackage(rattler.PackageName(name), rattler.Version(version), rattler.BuildString("0"))
        for name, version in (("__unix", "0"), ("__linux", "5.10"), ("__glibc", "2.28"))
    ]


async def install(records: list[Any], command: dict[str, Any], emit: Emit) -> None:
    import rattler

    for record in records:
        check_file(record)
    await rattler.install(
        records,
        target_prefix=command["prefix"],
        alternative_target_prefix=command["embedded"],
        cache_dir=command["packages"],
        platform=rattler.Subdir(command["platform"]),
        reporter=Reporter(records, emit),
        execute_link_scripts=False,
        show_progress=False,
    )


async def fetch(command: dict[str, Any], emit: Emit) -> list[Any]:
    """Downloads packages by address and digest, and reads their descriptions.

    Only the installer fills the package cache, so the packages are installed to a temporary folder first.
    """
    import rattler

    locked = command["locked"]
    for each in locked:
        check_file(record(each, None))
    await rattler.install(
        [record(each, None) for each in locked],
        target_prefix=command["prefix"],
        cache_dir=command["packages"],
        platform=rattler.Subdir(command["platform"]),
        reporter=Reporter([], emit),
        execute_link_scripts=False,
        show_progress=False,
    )
    places = {}
    for path in Path(command["prefix"], "conda-meta").glob("*.json"):
        installed = json.loads(path.read_bytes())
        places[installed["name"]] = Path(installed["extracted_package_dir"], "info", "index.json")
    return [record(each, places[each["name"]]) for each in locked]


def check_file(record: Any) -> None:
    """Checks the digest of a local file. py-rattler checks only downloads."""
    address = urlparse(record.url)
    if address.scheme != "file":
        return
    kind, expected = ("sha256", record.sha256) if record.sha256 else ("md5", record.md5)
    if expected is None:
        return
    digest = hashlib.new(kind)
    with Path(unquote(address.path)).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.digest() != bytes(expected):
        found, expected = digest.hexdigest(), bytes(expected).hex()
        raise BadLock(f"{record.url} has the {kind} {found}, and {expected} is expected")


def record(locked: dict[str, Any], index: Any) -> Any:
    """A package's record, from its index.json if there is one."""
    import rattler

    digest = bytes.fromhex(locked["digest"])
    digests = {"sha256": digest} if len(digest) == 32 else {"md5": digest}
    if index is None:
        known = rattler.PackageRecord(
            locked["name"],
            locked["version"],
            rattler.BuildString(locked["build"]),
            0,
            locked["subdir"],
            noarch="python" if locked["subdir"] == "noarch" else None,
            **digests,
        )
    else:
        known = rattler.PackageRecord.from_index_json(index, **{name: value.hex() for name, value in digests.items()})
    channel = locked["url"].rsplit("/", 2)[0]
    return rattler.RepoDataRecord(known, locked["file_name"], locked["url"], channel)


def read_lock(command: dict[str, Any]) -> list[dict[str, str]]:
    """The packages of one environment and platform of a pixi.lock."""
    import rattler

    lock = rattler.LockFile.from_path(Path(command["path"]))
    environment = lock.environment(command["environment"])
    if environment is None:
        raise NotInLock(f"it has {', '.join(sorted(name for name, _ in lock.environments())) or 'none'}")
    for platform, packages in environment.packages_by_platform().items():
        if str(platform.name) == command["platform"]:
            return [locked_package(package) for package in packages]
    has = ", ".join(str(platform.name) for platform in environment.packages_by_platform())
    raise BadPlatform(f"it is for {has}")


def locked_package(package: Any) -> dict[str, str]:
    hashes = package.hashes
    digest = (hashes.sha256 or hashes.md5) if hashes else None
    found = {"kind": "conda", "url": package.location, "digest": digest.hex() if digest else ""}
    if hasattr(package, "requires_dist"):
        found |= {"kind": "pypi", "name": package.name, "version": str(package.version)}
    return found


class BadLock(Exception):
    """A package has another digest than in the lock file."""


class NotInLock(Exception):
    """A lock file does not have the environment."""


class BadPlatform(Exception):
    """A lock file does not have the platform."""


class Reporter:
    """Turns the installer's callbacks into events. Their tokens number the packages in the order of their start."""

    def __init__(self, records: list[Any], emit: Emit) -> None:
        self.emit = emit
        self.names: list[str] = []
        self.bytes: dict[int, int] = {}
        self.total_bytes = sum(record.size or 0 for record in records)
        self.total = len(records)
        self.linked = 0
        self.last = 0.0

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        self.names.append(package_name)
        return len(self.names) - 1

    def on_download_start(self, cache_entry: int) -> int:
        return cache_entry

    def on_download_progress(self, download: int, done: int, total: int | None) -> None:
        self.bytes[download] = done
        now = time.monotonic()
        if now - self.last >= PROGRESS_INTERVAL:
            self.last = now
            self.report_download(download)

    def on_download_completed(self, download: int) -> None:
        self.report_download(download)

    def report_download(self, download: int) -> None:
        done = min(sum(self.bytes.values()), self.total_bytes)
        self.emit("progress", stage="download", message=self.names[download], done=done, total=self.total_bytes)

    def on_link_start(self, operation: int, package_name: str) -> int:
        self.names.append(package_name)
        return len(self.names) - 1

    def on_link_complete(self, index: int) -> None:
        self.linked += 1
        self.emit("progress", stage="link", message=self.names[index], done=self.linked, total=self.total)

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name.startswith("on_"):
            return lambda *arguments: 0
        raise AttributeError(name)


if __name__ == "__main__":
    main()
