"""Slider's applications: what is converted, what is lost, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from knit_core.convert import convert_files
from knit_core.errors import SpecError
from tests.unit.convert.harness import converted, lost, refused, set_fields
from tests.unit.convert.test_yarn_service import run

RESOURCES = """\
{
  "schema": "http://example.org/specification/v2.0.0",
  "metadata": {},
  "global": {"yarn.log.include.patterns": "std.*", "yarn.vcores": "2"},
  "components": {
    "slider-appmaster": {"yarn.memory": "384"},
    "LISTEN": {
      "yarn.role.priority": "1",
      "yarn.component.instances": "2",
      "yarn.memory": "128",
      "yarn.label.expression": "fast",
      "yarn.component.placement.policy": "1",
      "yarn.container.failure.threshold": "7",
      "yarn.container.failure.window.hours": "1",
      "yarn.node.failure.threshold": "4"
    },
    "ASK_ONCE": {"yarn.component.instances": "1", "yarn.component.placement.policy": "4", "yarn.container.failure.threshold": "0"}
  }
}
"""
APP_CONFIG = """\
{
  "schema": "http://example.org/specification/v2.0.0",
  "metadata": {},
  "global": {
    "java_home": "/usr/jdk",
    "site.global.port": "${LISTEN.ALLOCATED_PORT}{PER_CONTAINER}",
    "site.global.greeting": "hello to ${USER_NAME}",
    "site.app.name": "it's ${COMPONENT_NAME}",
    "site.app.port": "${site.global.port}"
  },
  "components": {
    "slider-appmaster": {"jvm.heapsize": "256M"},
    "ASK_ONCE": {"site.global.greeting": "bye"}
  }
}
"""
METAINFO = """\
{
  "schemaVersion": "2.1",
  "application": {
    "name": "LISTENER",
    "version": "0.1",
    "exportGroups": [
      {"name": "Servers", "exports": [
        {"name": "page", "value": "http://${LISTEN_HOST}:${site.global.port}/ui"},
        {"name": "host_port", "value": "${LISTEN_HOST}:${site.global.port}"}
      ]}
    ],
    "commandOrders": [{"command": "ASK_ONCE-START", "requires": "LISTEN-STARTED"}],
    "configFiles": [{"type": "properties", "fileName": "app.properties", "dictionaryName": "app"}],
    "components": [
      {"name": "LISTEN", "compExports": "Servers-page", "commands": [
        {"exec": "echo {$conf:@//site/global/greeting} {$conf:@//site/global/port}"},
        {"exec": "stop", "name": "STOP"}
      ]},
      {"name": "ASK_ONCE", "commands": [{"exec": "echo {$conf:@//site/global/greeting}"}]},
      {"name": "CLIENT", "category": "CLIENT"}
    ]
  }
}
"""
OTHERS = (("appConfig.json", APP_CONFIG), ("metainfo.json", METAINFO))


def test_an_application() -> None:
    conversion = converted(RESOURCES, *OTHERS, name="resources.json")
    spec = conversion.spec
    assert (conversion.kind, spec.name, spec.tags, spec.logs.include) == (
        "slider",
        "LISTENER",
        ("version: 0.1",),
        "std.*",
    )
    assert (spec.master_memory, spec.node_failures) == (384, 4)
    listen, ask = spec.services["listen"], spec.services["ask-once"]
    assert (listen.instances, listen.memory, listen.vcores, listen.node_label) == (2, 128, 2, "fast")
    assert (listen.restart.policy.value, listen.restart.limit, listen.restart.window) == ("always", 7, 3600)
    assert (ask.memory, ask.anti_affinity, ask.restart.limit, ask.depends_on["listen"].value) == (
        256,
        True,
        None,
        "started",
    )


def test_what_is_lost_has_its_file_and_line() -> None:
    conversion = converted(RESOURCES, *OTHERS, name="resources.json")
    assert {(loss.file, loss.line, loss.what) for loss in conversion.lost} == {
        ("resources.json", 7, "LISTEN"),
        ("resources.json", 8, "components.LISTEN.yarn.role.priority"),
        ("resources.json", 12, "components.LISTEN.yarn.component.placement.policy"),
        ("resources.json", 17, "ASK_ONCE"),
        ("appConfig.json", 5, "global.java_home"),
        ("appConfig.json", 9, "global.site.app.port"),
        ("appConfig.json", 12, "components.slider-appmaster.jvm.heapsize"),
        ("metainfo.json", 9, "application.exportGroups[0].exports[1].value"),
        ("metainfo.json", 17, "application.components[0].commands[1].name"),
        ("metainfo.json", 20, "application.components[2]"),
    }


def test_values_ports_and_files_in_bash(tmp_path: Path) -> None:
    conversion = converted(RESOURCES, *OTHERS, name="resources.json")
    command = set_fields(conversion, "listen")["command"].replace("python3 -m knit_container", "echo page:")
    lines = run(command, tmp_path).splitlines()
    port = lines[-1].rpartition(" ")[2]
    assert 1024 < int(port) < 65536
    assert lines == [f"page: page Servers-page-1 {port} --path /ui", f"hello to alice {port}"]
    assert (tmp_path / "app" / "conf" / "app.properties").read_text() == f"name=it's LISTEN\nport={port}\n"


def test_the_components_own_value_counts_and_anothers_port_is_refused(tmp_path: Path) -> None:
    metainfo = json.loads(METAINFO)
    metainfo["application"]["configFiles"] = []
    conversion = converted(RESOURCES, ("appConfig.json", APP_CONFIG), ("metainfo.json", json.dumps(metainfo)))
    assert run(set_fields(conversion, "ask-once")["command"], tmp_path) == "bye\n"
    metainfo["application"]["components"][1]["commands"][0]["exec"] = "ask {$conf:@//site/global/port}"
    problems = refused(RESOURCES, ("appConfig.json", APP_CONFIG), ("metainfo.json", json.dumps(metainfo)))
    assert problems == [
        "metainfo.json:1: application.components[1].commands: the port of LISTEN is only known there: "
        "let it put it into the key-value store"
    ]


def component(**fields: Any) -> str:
    """metainfo.json with one component LISTEN."""
    return json.dumps(
        {"schemaVersion": "2.1", "application": {"name": "X", "components": [{"name": "LISTEN", **fields}]}}
    )


ONE = '{"schema": "http://example.org/specification/v2.0.0", "components": {"LISTEN": {"yarn.memory": "128"}}}'


@pytest.mark.parametrize(
    ("metainfo", "words"),
    [
        (component(commandScript={"script": "x.py"}), "Slider's agent, which runs scripts, is not there"),
        (component(), "there is no command that starts it"),
        (component(category="CLIENT", commands=[{"exec": "x"}]), "a client is installed, not run"),
        (component(commands=[{"exec": "echo {$conf:@//site/global/x}"}]), "appConfig.json has no value 'site.global.x'"),
        (component(commands=[{"exec": "echo ${ZK_HOST}"}]), "${ZK_HOST} has no equivalent: write its value"),
        (component(dockerContainers=[{"image": "i"}]), "the image's entry point is not run"),
        (component(dockerContainers=[{"image": "i", "startCommand": "x"}] * 2), "one container of Docker"),
        (component(commands=[{"exec": "x"}], configFiles=[{"type": "xml", "fileName": "../x"}]), "file name"),
        ('{"schemaVersion": "2.1", "application": {"name": "X", "components": []}}', "no component of this name"),
    ],
)  # fmt: skip
def test_refusals(metainfo: str, words: str) -> None:
    assert any(words in problem for problem in refused(ONE, ("metainfo.json", metainfo)))


def test_a_value_that_refers_to_itself_is_refused() -> None:
    config = '{"schema": "http://example.org/specification/v2.0.0", "global": {"site.a.b": "${site.a.b}${site.a.b}"}}'
    metainfo = component(commands=[{"exec": "echo {$conf:@//site/a/b}"}])
    assert any("refer to one another" in each for each in refused(ONE, ("a.json", config), ("m.json", metainfo)))


def test_docker() -> None:
    container = {
        "name": "c",
        "image": "centos:7",
        "startCommand": "run",
        "additionalParam": "-x",
        "network": "host",
        "mounts": [{"hostMount": "/data", "containerMount": "/in"}],
        "ports": [{"containerPort": "80"}],
    }
    conversion = converted(ONE, ("metainfo.json", component(dockerContainers=[container])))
    assert set_fields(conversion, "listen")["docker"] == {
        "image": "centos:7",
        "network": "host",
        "mounts": ["/data:/in:rw"],
    }
    assert (set_fields(conversion, "listen")["command"], lost(conversion).keys()) == (
        "run -x",
        {"LISTEN", "application.components[0].dockerContainers[0].ports"},
    )


def test_a_folder_or_one_of_its_files(tmp_path: Path) -> None:
    for name, text in (("resources-default.json", RESOURCES), *OTHERS):
        (tmp_path / name).write_text(text)
    whole = convert_files([tmp_path])
    assert (whole.kind, list(whole.spec.services)) == ("slider", ["listen", "ask-once"])
    assert convert_files([tmp_path / "appConfig.json"]).spec == whole.spec
    (tmp_path / "metainfo.json").unlink()
    with pytest.raises(SpecError, match=r"needs metainfo\.json too"):
        convert_files([tmp_path])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SpecError, match="a folder should have Slider's files"):
        convert_files([empty])
