"""Beside an Airflow that is too old, or none, nothing breaks, and one line says what is needed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError

import pytest
from airflow.plugins_manager import AirflowPlugin

import knit_airflow
from knit_airflow import _airflow_version, plugins
from knit_airflow.get_provider_info import get_provider_info
from knit_airflow.plugins.page import KnitPlugin


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    def forget() -> None:
        _airflow_version.problem.cache_clear()
        _airflow_version.warn_once.cache_clear()

    forget()
    yield
    forget()


def _beside(version: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(_name: str) -> str:
        if version is None:
            raise PackageNotFoundError
        return version

    monkeypatch.setattr(_airflow_version, "version", installed)


def test_this_airflow_is_new_enough() -> None:
    assert _airflow_version.problem() == ""
    assert plugins.KnitPlugin is KnitPlugin
    assert get_provider_info()["connection-types"]


@pytest.mark.parametrize("version", ["2.10.5", "3.0.6", "3.2.1"])
def test_an_older_one_gets_plugins_that_do_nothing(
    version: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _beside(version, monkeypatch)
    with caplog.at_level(logging.WARNING):
        for name in ("KnitPlugin", "KnitLinks"):
            plugin = getattr(plugins, name)
            assert issubclass(plugin, AirflowPlugin) and plugin.name
            assert plugin().external_views == [] and plugin().operator_extra_links == []
        info = get_provider_info()
    assert {*info} == {"package-name", "name", "description", "versions"}
    said = f"knit_airflow needs Airflow 3.3 or newer; this is {version}: its operators and its page are off"
    assert [record.getMessage() for record in caplog.records] == [said]
    with pytest.raises(ImportError, match=r"needs Airflow 3\.3 or newer"):
        _ = knit_airflow.KnitOperator


def test_without_airflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _beside(None, monkeypatch)
    with pytest.raises(ImportError, match=r"pip install 'knit-yarn\[airflow\]'"):
        _ = knit_airflow.KnitSensor


@pytest.mark.parametrize("version", ["3.3.0", "3.10.1", "4.0.0"])
def test_newer_ones_are_new_enough(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _beside(version, monkeypatch)
    assert _airflow_version.problem() == ""
