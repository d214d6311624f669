"""Descriptions for other launchers, converted and run on real daemons: one of each launcher."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from knit_core import Knit, Outcome
from knit_core.convert import ConversionWarning, specification
from knit_core.local import LocalCluster
from tests.cluster.test_services import free_port

pytestmark = pytest.mark.cluster

SKEIN = """\
name: greetings
services:
  first:
    resources: {memory: 64 MiB, vcores: 1}
    files: {words.txt: data/words.txt}
    script: |
      cat words.txt
  second:
    instances: 2
    resources: {memory: 64 MiB, vcores: 1}
    depends: [first]
    env: {WHO: "$(id) it's"}
    script: echo "to $WHO"
"""


@pytest.mark.slow
def test_skein_by_the_command_line(clean_cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "specs" / "data").mkdir(parents=True)
    (tmp_path / "specs" / "data" / "words.txt").write_text("hello\n")
    (tmp_path / "specs" / "spec.yaml").write_text(SKEIN)
    base = [sys.executable, "-m", "knit_core", "--cluster", clean_cluster.resourcemanager_url, "--user", "alice"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*base, *words], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip

    done = run("submit", "specs/spec.yaml")
    assert done.returncode == 0, done.stderr
    assert sorted(line.partition(" | ")[2] for line in done.stdout.splitlines()) == ["hello", *["to $(id) it's"] * 2]
    assert "lost  specs/spec.yaml:12: variable WHO" in done.stderr
    assert run("convert", "specs/spec.yaml", "-o", "own.yaml").returncode == 0
    again = run("submit", "own.yaml")
    assert (again.returncode, again.stdout.count("hello")) == (0, 1), again.stderr


YARN = """\
{
  "name": "site",
  "version": "1.0",
  "lifetime": "600",
  "resource": {"cpus": 1, "memory": "64"},
  "configuration": {"properties": {"yarn.service.readiness-check-interval.seconds": "1"}},
  "components": [
    {
      "name": "web",
      "number_of_containers": 1,
      "launch_command": "cd conf && exec python3 -m http.server PORT",
      "readiness_check": {"type": "HTTP", "properties": {"url": "http://${THIS_HOST}:PORT/index.html"}},
      "configuration": {
        "files": [
          {"type": "TEMPLATE", "dest_file": "index.html", "properties": {"content": "hello from ${COMPONENT_INSTANCE_NAME}"}}
        ]
      }
    },
    {
      "name": "reader",
      "number_of_containers": 1,
      "dependencies": ["web"],
      "restart_policy": "NEVER",
      "launch_command": "python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())' $URL",
      "configuration": {"env": {"URL": "http://localhost:PORT/index.html"}}
    }
  ],
  "quicklinks": {"Site": "http://web-0.${SERVICE_NAME}.${USER}.${DOMAIN}:PORT/index.html"}
}
"""


def test_a_service_of_yarn(knit: Knit, tmp_path: Path) -> None:
    """A server that is always restarted, a reader that waits until it is ready, a configuration file, a quick link."""
    (tmp_path / "yarn.json").write_text(YARN.replace("PORT", str(free_port())))
    app = knit.submit(tmp_path / "yarn.json")
    assert app.wait(timeout=120).outcome is Outcome.SUCCEEDED
    assert "hello from web-0" in [line.text for line in app.logs()]
    assert "version: 1.0" in app.report().tags


SLIDER = {
    "resources.json": """\
{
  "schema": "http://example.org/specification/v2.0.0",
  "components": {
    "slider-appmaster": {},
    "LISTEN": {"yarn.component.instances": "1", "yarn.memory": "64"},
    "TELL": {"yarn.component.instances": "1", "yarn.memory": "64"}
  }
}
""",
    "appConfig.json": """\
{
  "schema": "http://example.org/specification/v2.0.0",
  "global": {
    "site.global.port": "${LISTEN.ALLOCATED_PORT}{PER_CONTAINER}",
    "site.words.greeting": "hello to ${USER_NAME}"
  }
}
""",
    "metainfo.json": """\
{
  "schemaVersion": "2.1",
  "application": {
    "name": "LISTENER",
    "exportGroups": [{"name": "Servers", "exports": [{"name": "ui", "value": "http://${LISTEN_HOST}:${site.global.port}"}]}],
    "commandOrders": [{"command": "TELL-START", "requires": "LISTEN-STARTED"}],
    "configFiles": [{"type": "properties", "fileName": "words.properties", "dictionaryName": "words"}],
    "components": [
      {"name": "LISTEN", "commands": [
        {"exec": "PORT={$conf:@//site/global/port}; python3 -m knit_container put port $PORT && exec python3 -m http.server $PORT"}
      ]},
      {"name": "TELL", "commands": [
        {"exec": "python3 -m knit_container put told \\"$(cat app/conf/words.properties)\\"; sleep 600"}
      ]}
    ]
  }
}
""",
}


def test_an_application_of_slider(knit: Knit, tmp_path: Path) -> None:
    """It runs until it is ended: a port that it chose, a file with a variable, the order of its components, a page."""
    for name, text in SLIDER.items():
        (tmp_path / name).write_text(text)
    with pytest.warns(ConversionWarning, match="LISTEN"):
        app = knit.submit(tmp_path)
    app.wait_for_containers(1)
    assert 1024 < int(app.kv.wait("port", timeout=60)) < 65536
    assert app.kv.wait("told", timeout=60) == f"greeting=hello to {knit.config.user}"
    app.shutdown("SUCCEEDED")
    assert app.wait(timeout=60).outcome is Outcome.SUCCEEDED


KITTEN = """\
WORDS = "hello"
shared = cat { GREETING = WORDS }
greeter = yarn {
  name = "Greeter",
  memory = 64,
  tolerated_failures = 0,
  master = { command = { base = "java com.cloudera.kitten.appmaster.ApplicationMaster", args = { "-conf job.xml" } } },
  container = {
    instances = 2,
    env = shared { WHO = "it's $me" },
    command = { base = "cat words.txt; echo \\"$GREETING $WHO\\"", args = { "1> <LOG_DIR>/stdout 2> <LOG_DIR>/stderr" } },
    resources = { ["words.txt"] = { file = "data/words.txt" } },
  },
}
"""


def test_a_file_of_kitten(knit: Knit, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "words.txt").write_text("words\n")
    (tmp_path / "greeter.lua").write_text(KITTEN)
    with pytest.warns(ConversionWarning, match="variable WHO"):
        app = knit.submit(tmp_path / "greeter.lua")
    assert app.wait(timeout=60).outcome is Outcome.SUCCEEDED
    assert sorted(line.text for line in app.logs()) == [*["hello it's $me"] * 2, *["words"] * 2]


DISTRIBUTED_SHELL = """\
yarn jar hadoop-yarn-applications-distributedshell.jar -jar hadoop-yarn-applications-distributedshell.jar \\
  -appname shell -shell_script bin/count.sh -shell_args a 'b c' -shell_env "DAY=it's monday" \\
  -num_containers 2 -container_memory 64 -container_retry_policy 1 -container_max_retries 1
"""


def test_a_command_line_of_distributed_shell(knit: Knit, tmp_path: Path) -> None:
    """The script fails at first: it is tried again."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "count.sh").write_text('[ "$KNIT_ATTEMPT" != 1 ] || exit 3\necho "$# $DAY"\n')
    (tmp_path / "run.sh").write_text(DISTRIBUTED_SHELL)
    app = knit.submit(tmp_path / "run.sh")
    assert app.wait(timeout=90).outcome is Outcome.SUCCEEDED
    assert [line.text for line in app.logs()].count("3 it's monday") == 2


TONY_XML = """\
<configuration>
  <property><name>tony.application.name</name><value>learn</value></property>
  <property><name>tony.worker.instances</name><value>2</value></property>
  <property><name>tony.worker.memory</name><value>64m</value></property>
  <property><name>tony.ps.instances</name><value>1</value></property>
  <property><name>tony.ps.memory</name><value>64m</value></property>
  <property><name>tony.ps.command</name><value>sleep 600</value></property>
  <property><name>tony.application.fail-on-worker-failure-enabled</name><value>true</value></property>
</configuration>
"""
TONY = """\
java -cp "`hadoop classpath`:tony-cli-all.jar" com.linkedin.tony.cli.ClusterSubmitter \\
  --executes=learn.py --task_params="--steps 5" --python_binary_path=/usr/bin/env --conf_file=tony.xml \\
  -conf tony.worker.command='python3 learn.py --steps 5' -conf tony.worker.resources=learn.py
"""


def test_an_application_of_tony(knit: Knit, tmp_path: Path) -> None:
    """Workers know one another's addresses; the parameter server is not waited for."""
    (tmp_path / "tony.xml").write_text(TONY_XML)
    (tmp_path / "run.sh").write_text(TONY)
    (tmp_path / "learn.py").write_text(
        "import json, os, sys, knit_container\n"
        "config = json.loads(os.environ['TF_CONFIG'])\n"
        "sizes = {job: len(addresses) for job, addresses in config['cluster'].items()}\n"
        "knit_container.result([config['task']['type'], config['task']['index'], sizes, sys.argv[1:]])\n"
    )
    started = time.monotonic()
    spec, _conversion = specification(tmp_path / "run.sh")
    result = knit.submit(spec).wait(timeout=120)
    assert result.outcome is Outcome.SUCCEEDED
    sizes, words = {"worker": 2, "ps": 1}, ["--steps", "5"]
    assert result.values["worker"] == {index: ["worker", index, sizes, words] for index in range(2)}
    assert time.monotonic() - started < 120
