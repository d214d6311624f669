"""A small package index of wheels that are made here, for tests that must not depend on what others publish."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str] | None = None,
    requires: Sequence[str] = (),
    scripts: Mapping[str, str] | None = None,
) -> Path:
    """Writes a pure wheel; by default its module says its name and version."""
    module = name.replace("-", "_")
    contents = dict(files or {f"{module}/__init__.py": f"version = {version!r}\n\ndef main():\n    print({name!r})\n"})
    info = f"{module}-{version}.dist-info"
    depends = "".join(f"Requires-Dist: {each}\n" for each in requires)
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{depends}"
    contents[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: bed\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    if scripts:
        lines = "".join(f"{script} = {target}\n" for script, target in scripts.items())
        contents[f"{info}/entry_points.txt"] = f"[console_scripts]\n{lines}"
    rows = []
    for path, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text.encode())}\n")
    contents[f"{info}/RECORD"] = "".join(rows) + f"{info}/RECORD,,\n"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for path, text in contents.items():
            file.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return wheel


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels that the tests install."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        make_wheel(folder, "bed-alpha", version, scripts={"bed-alpha": "bed_alpha:main"})
    make_wheel(folder, "bed-beta", "1.0", requires=["bed-alpha>=1"])
    make_wheel(folder, "bed-old", "1.0", requires=["bed-alpha<2"])
    make_wheel(folder, "cloudpickle", "99.0", {"cloudpickle.py": "version = '99.0'\n"})  # a module, not a folder
    make_wheel(folder, "bed-pickler", "1.0", requires=["cloudpickle"])
    make_wheel(folder, "bed-picky", "1.0", requires=["cloudpickle>90"])
    return folder


@pytest.fixture
def index(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes the folder the only index there is."""
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    return wheels


class _Index(BaseHTTPRequestHandler):
    wheels: Path
    credentials = ""
    hangs = threading.Event()
    asked = threading.Event()

    def do_GET(self) -> None:
        if self.credentials:
            said = self.headers.get("Authorization", "").removeprefix("Basic ")
            if base64.b64decode(said).decode() != self.credentials:
                self._answer(401, b"")
                return
        name = self.path.rstrip("/").rpartition("/")[2]
        wheel = self.wheels / name
        if self.path.endswith(".whl") and wheel.is_file():
            self.asked.set()
            self.hangs.wait(60)
            self._answer(200, wheel.read_bytes())
            return
        found = [p for p in sorted(self.wheels.glob("*.whl")) if re.sub("[-_]+", "-", p.name.split("-")[0]) == name]
        links = "".join(f'<a href="/files/{wheel.name}">{wheel.name}</a>\n' for wheel in found)
        self._answer(200 if found else 404, f"<!DOCTYPE html><html><body>{links}</body></html>".encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if body.startswith(b"<") else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Basic")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(wheels: Path, credentials: str = "", *, hangs: bool = False) -> Iterator[tuple[str, threading.Event]]:
    """The index over HTTP: its address, and an event that is set when a wheel was asked for.

    `hangs`: wheels are not sent before the end.
    """
    go = threading.Event()
    if not hangs:
        go.set()
    asked = threading.Event()
    handler = type("Index", (_Index,), {"wheels": wheels, "credentials": credentials, "hangs": go, "asked": asked})
    user = f"{credentials}@" if credentials else ""
    with _running(handler) as port:
        try:
            yield f"http://{user}127.0.0.1:{port}/simple", asked
        finally:
            go.set()


@contextmanager
def served_folder(folder: Path) -> Iterator[str]:
    """A folder over HTTP, like a channel; its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with _running(functools.partial(Quiet, directory=str(folder))) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _running(handler: Any) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
