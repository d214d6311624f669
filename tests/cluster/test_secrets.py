"""No secret is anywhere but where it belongs: the user's key on HDFS, and each container's credentials file."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from knit_container.signing import container_token
from knit_core import Application, Knit
from knit_core.errors import KnitError
from knit_core.local import LocalCluster
from tests.cluster_harness import eventually

pytestmark = pytest.mark.cluster
SMALL = {"memory": 128, "vcores": 1}
PROGRAM = """
import os, sys, traceback, knit_container as knit
print(dict(os.environ), open("/proc/self/cmdline").read())
knit.kv["here"] = 1
knit.progress(0.5, loss=1)
knit.result([1])
try:
    knit.scale("main", 9)
except knit.RefusedByMaster:
    traceback.print_exc()
knit.kv.wait("end")
sys.exit(7)
"""


def test_no_secret_is_anywhere(knit: Knit, clean_cluster: LocalCluster) -> None:
    app = knit.submit(["python3", "-c", PROGRAM], instances=2, **SMALL)
    app.wait_for_containers(2)
    app.kv.wait("here", timeout=30)
    secret = knit.user_key.application_secret(app.id)
    tokens = [container_token(secret, container.yarn) for container in app.containers()]
    found = {
        "plan": str(knit.plan("env", **SMALL).describe()),
        "objects": repr([knit, knit.user_key, knit.config.describe(), app, app.master]),
        "live logs": "\n".join(line.text for line in app.logs()),
        "events": str(list(app.events())),
        "YARN's application": json.dumps(knit.resourcemanager.app(app.id).to_dict()),
        **dict(_pages(app)),
        **dict(_processes()),
        **dict(_journals(knit, app)),
    }
    app.kv["end"] = True
    try:
        app.wait(timeout=60)
    except KnitError:
        found["the failure"] = traceback.format_exc()
    try:
        app.scale(3)
    except KnitError:
        found["an exception"] = traceback.format_exc()
    eventually(lambda: any("KNIT_APP_ID" in line.text for line in app.logs()), 30, "its aggregated logs")
    found["aggregated logs"] = "\n".join(line.text for line in app.logs())
    found["result"] = str(app.result())
    found |= dict(_daemon_logs(clean_cluster))
    assert "KNIT_APP_ID" in found["live logs"]
    assert "RefusedByMaster" in found["aggregated logs"]
    assert len(found) > 25, "the places were not looked at"
    for name, text in found.items():
        for form in _forms([secret, *tokens]):
            assert form not in text, f"{name}: a secret stands in it"


def _forms(secrets: list[bytes]) -> Iterator[str]:
    for secret in secrets:
        yield secret.hex()
        yield base64.b64encode(secret).decode().rstrip("=")
        yield base64.urlsafe_b64encode(secret).decode().rstrip("=")


def _pages(app: Application) -> Iterator[tuple[str, str]]:
    base = app.report().tracking_url.rstrip("/")
    for path in ("", "/ui/state.json", "/ui/knit.js", "/api/v1/application"):
        yield f"page {path}", requests.get(f"{base}{path}?user.name=alice", timeout=20).text


def _processes() -> Iterator[tuple[str, str]]:
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                yield f"{process.name} {name}", (process / name).read_text(errors="replace")
            except OSError:
                continue


def _journals(knit: Knit, app: Application) -> Iterator[tuple[str, str]]:
    """Everything in the application's folder on HDFS."""
    folders = [app.folder]
    while folders:
        folder = folders.pop()
        for status in knit.hdfs.list(folder):
            path = f"{folder}/{status.name}"
            if status.folder:
                folders.append(path)
            else:
                yield path, (knit.hdfs.read(path) or b"").decode(errors="replace")


def _daemon_logs(cluster: LocalCluster) -> Iterator[tuple[str, str]]:
    for name in cluster.daemon_names():
        yield f"log of {name}", "\n".join(cluster.logs(name, lines=100_000))
