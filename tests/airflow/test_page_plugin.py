"""The plugin: found by Airflow, light for those who do not serve pages, gone when it is switched off."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest

from knit_airflow.plugins.page import KnitPlugin, LazyApp


def test_airflow_finds_it() -> None:
    (found,) = entry_points(group="airflow.plugins", name="knit_page")
    assert found.load() is KnitPlugin


def test_loading_it_imports_neither_the_page_nor_the_launcher() -> None:
    code = (
        "import sys, json; from airflow.plugins_manager import AirflowPlugin; before = set(sys.modules)\n"
        "from knit_airflow.plugins.page import KnitPlugin; it = KnitPlugin(); it.fastapi_apps, it.external_views\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert "knit_airflow.plugins.page" in loaded
    assert not [name for name in loaded if name.partition(".")[0] in ("knit_core", "fastapi", "requests", "pydantic")]
    assert "knit_airflow.page.app" not in loaded


def test_it_brings_a_page_and_a_tab_below_airflows_own_address() -> None:
    plugin = KnitPlugin()
    (mounted,) = plugin.fastapi_apps
    assert mounted["url_prefix"] == "/knit" and isinstance(mounted["app"], LazyApp)
    page, tab = plugin.external_views
    assert (page["destination"], tab["destination"]) == ("nav", "task_instance")
    # Without a slash before it: the address counts from Airflow's base, which may be below a path.
    assert page["href"] == "knit/" and tab["href"].startswith("knit/task?dag_id={DAG_ID}&")
    routes = [each["url_route"] for each in (page, tab)]
    assert len(set(routes)) == 2


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__KNIT__PAGE", "False")
    plugin: Any = KnitPlugin()
    assert plugin.fastapi_apps == [] and plugin.external_views == []
