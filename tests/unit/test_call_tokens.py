"""What changes something carries a token of its own, so that a repetition is known as one."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

import knit_container.context as context
from knit_container.store import KeyValueStore
from knit_core.application import Application


class Recorder:
    """Answers every call and keeps it."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, method: str, path: str, body: Any = None, *rest: object) -> Any:
        self.bodies.setdefault(path.rsplit("/", 1)[-1], []).append(body)
        return {"revision": 1, "deleted": True, "key": "q/0000000000", "number": 0, "instances": 1}

    def put(self, path: str, body: Any) -> Any:
        return self("PUT", path, body)


def test_changes_carry_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    store = KeyValueStore(recorder, RuntimeError)
    monkeypatch.setattr(context, "_call", recorder)

    cluster: Any = SimpleNamespace(application_master=lambda *_args: recorder)

    for _ in range(2):
        store.put("a", 1)
        store.append("q/", 1)
        store.delete("a")
        for one in (context, Application(cluster, "application_1_0001")):
            one.scale(service="main", instances=1)
            one.kill_container("main_0")
    assert {name: len(bodies) for name, bodies in recorder.bodies.items()} == {
        "YQ": 2,
        "append": 2,
        "delete": 2,
        "scale": 4,
        "kill": 4,
    }
    tokens = [body["token"] for bodies in recorder.bodies.values() for body in bodies]
    assert len(set(tokens)) == len(tokens)
    assert all(re.fullmatch("[0-9a-f]{16,64}", token) for token in tokens)
