"""What Airflow learns about the provider: schema, connection form, lazily loaded names, triggers that come back."""

from __future__ import annotations

import json
import pprint
import subprocess
import sys
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path

import jsonschema
import pytest

import knit_airflow
from knit_airflow.get_provider_info import get_provider_info
from knit_airflow.hooks.knit import KnitHook
from knit_airflow.triggers.application import KnitApplicationTrigger


def schema(name: str) -> dict[str, object]:
    import airflow

    return json.loads((Path(airflow.__file__).parent / name).read_text())


def test_info_is_what_airflow_accepts() -> None:
    info = get_provider_info()
    jsonschema.validate(info, schema("provider_info.schema.json"))
    # Only the schema of provider.yaml describes the form; the rest of it is for Airflow's own release tools.
    properties = schema("provider.yaml.schema.json")["properties"]
    jsonschema.validate(info["connection-types"], properties["connection-types"])


def test_everything_named_can_be_imported() -> None:
    info = get_provider_info()
    for kind in ("operators", "sensors", "hooks", "triggers"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                import_module(module)
    for path in [*info["extra-links"], *(each["hook-class-name"] for each in info["connection-types"])]:
        module, _, name = path.rpartition(".")
        assert getattr(import_module(module), name)


def test_airflow_discovers_provider_connection_and_form() -> None:
    from airflow.providers_manager import ProvidersManager
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    manager = ProvidersManager()
    assert manager.providers["knit-yarn"].version == distribution("knit-yarn").version
    assert ProvidersManagerTaskRuntime().hooks["knit"].hook_class_name == "knit_airflow.hooks.knit.KnitHook"
    assert "extra__knit__queue" in manager.connection_form_widgets
    assert manager.field_behaviours["knit"]["hidden_fields"] == ["schema"]


def test_airflows_own_command_shows_the_provider(capsys: pytest.CaptureFixture[str]) -> None:
    from airflow.cli.cli_parser import get_parser

    arguments = get_parser().parse_args(["providers", "get", "knit-yarn", "--full", "--output", "json"])
    arguments.func(arguments)
    shown = capsys.readouterr().out
    assert "knit_airflow.triggers.asset_watchers" in shown and "Settings of the Knit provider." in shown


def test_importing_the_package_loads_no_airflow() -> None:
    code = "import sys, knit_airflow.get_provider_info; sys.exit(bool({'airflow', 'knit_core'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_are_loaded_on_demand() -> None:
    assert knit_airflow.KnitHook is KnitHook
    assert set(knit_airflow.__all__) <= set(dir(knit_airflow))
    with pytest.raises(AttributeError, match="KnitNothing"):
        knit_airflow.KnitNothing  # noqa: B018


def test_trigger_comes_back_from_its_serialised_form() -> None:
    trigger = KnitApplicationTrigger("c", "application_1_0001", poll_interval=2.5, deadline=1e9, owner=True)
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("knit://rm:8088", "http://rm:8088"),
        ("knit://rm", "http://rm:8088"),
        ("knit://rm:8090/https", "https://rm:8090"),
    ],
)
def test_connection_becomes_an_address(monkeypatch: pytest.MonkeyPatch, uri: str, address: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_C", uri)
    with KnitHook("c").get_conn() as knit:
        assert knit.config.resourcemanagers == [address]


def test_connection_fields_become_settings_and_the_password_stays_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {
        "conn_type": "knit",
        "host": "https://gate",
        "port": 8443,
        "login": "alice",
        "password": "hush",
        "extra": {"queue": "science", "auth": "basic", "gateway_path": "/gateway/x", "namenode": ""},
    }
    monkeypatch.setenv("AIRFLOW_CONN_C", json.dumps(fields))
    hook = KnitHook("c")
    with hook.get_conn() as knit:
        assert knit.resourcemanager.http.session.auth is not None
        for thing in (hook, knit, knit.config, knit.resourcemanager.http, knit.resourcemanager.http.session):
            assert "hush" not in f"{thing!r} {pprint.pformat(vars(thing))}"
        assert knit.config.user == "alice"
        assert knit.config.get("queue") == "science"
        assert knit.config.resourcemanagers == ["https://gate:8443/gateway/x"]
        assert "namenode" not in knit.config.settings
        assert "hush" not in str(knit.config.describe())


def test_a_token_in_the_password_field(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"conn_type": "knit", "host": "https://gate/gateway/x", "port": 8443, "password": "WkRJ::hush"}
    monkeypatch.setenv("AIRFLOW_CONN_C", json.dumps({**fields, "extra": {"auth": "token"}}))
    with KnitHook("c").get_conn() as knit:
        assert (knit.config.get("token"), knit.config.get("password")) == ("WkRJ::hush", None)
        assert knit.config.resourcemanagers == ["https://gate:8443/gateway/x"]
        assert "hush" not in str(knit.config.describe())


def test_unknown_field_is_named_by_the_connection_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_C", json.dumps({"conn_type": "knit", "host": "rm", "extra": {"quue": "x"}}))
    worked, message = KnitHook("c").test_connection()
    assert not worked
    assert "quue" in message and "queue" in message
