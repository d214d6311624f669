"""Services of YARN's service framework: what is converted, what is lost, what is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from knit_core.spec import Condition
from tests.unit.convert.harness import converted, lost, refused, set_fields

SITE = """\
{
  "name": "site",
  "version": "1.2",
  "description": "two, with a comma",
  "queue": "science",
  "lifetime": "3600",
  "resource": {"cpus": 2, "memory": "512"},
  "number_of_containers": 2,
  "configuration": {
    "properties": {
      "yarn.service.am-restart.max-attempts": 10,
      "yarn.service.log.include-pattern": "std.*",
      "yarn.service.rolling-log.include-pattern": ".*log",
      "yarn.service.node-blacklist.threshold": "5",
      "yarn.service.failure-count-reset.window": "60", "yarn.service.container-failure.retry.max": "9"
    },
    "env": {"MODE": "fast", "LOGS": "<LOG_DIR>"}
  },
  "components": [
    {
      "name": "web",
      "launch_command": "python3 -m http.server 8080 > <LOG_DIR>/web.txt 2> <LOG_DIR>/stderr",
      "restart_policy": "ALWAYS",
      "readiness_check": {
        "type": "HTTP",
        "properties": {"url": "http://${THIS_HOST}:8080/health", "timeout": "2000", "min.success": 200}
      },
      "placement_policy": {
        "constraints": [{"name": "apart", "type": "ANTI_AFFINITY", "scope": "NODE", "target_tags": ["web"]}]
      },
      "configuration": {
        "properties": {
          "yarn.service.container-failure.retry.max": "4",
          "yarn.service.container-failure.retry-interval-ms": "90000",
          "yarn.service.container-failure.validity-interval-ms": "60000",
          "yarn.service.readiness-check-interval.seconds": "7"
        },
        "env": {"MODE": "slow", "ME": "${COMPONENT_INSTANCE_NAME} of ${SERVICE_NAME}"},
        "files": [
          {"type": "TEMPLATE", "dest_file": "index.html", "properties": {"content": "it's ${COMPONENT_INSTANCE_NAME}, $5\\n"}},
          {"type": "HADOOP_XML", "dest_file": "x-site.xml", "properties": {"a.b": "1 < 2", "who": "${USER}"}},
          {"type": "PROPERTIES", "dest_file": "x.properties", "properties": {"k": "v"}},
          {"type": "JSON", "dest_file": "x.json", "properties": {"k": "v"}},
          {"type": "YAML", "dest_file": "x.yaml", "properties": {"k": "1"}},
          {"type": "STATIC", "dest_file": "words.txt", "src_file": "/data/words.txt"},
          {"type": "ARCHIVE", "dest_file": "model", "src_file": "hdfs:///data/model.zip"},
          {"type": "TEMPLATE", "dest_file": "copied.conf", "src_file": "hdfs:///conf/a.conf"}
        ]
      }
    },
    {
      "name": "Proxy_1",
      "number_of_containers": 1,
      "dependencies": ["web"],
      "artifact": {"id": "centos/httpd:latest", "type": "DOCKER"},
      "launch_command": "/usr/bin/run ${COMPONENT_INSTANCE_NAME} $HOSTNAME",
      "run_privileged_container": true,
      "restart_policy": "ON_FAILURE",
      "resource": {"cpus": 1, "memory": "256", "additional": {"yarn.io/gpu": {"value": 2, "unit": ""}, "disks": {"value": 3}}},
      "readiness_check": {"type": "PORT", "properties": {"port": "80"}},
      "configuration": {"properties": {"docker.network": "host"}}
    },
    {
      "name": "job",
      "artifact": {"id": "/apps/job.tar.gz", "type": "TARBALL"},
      "launch_command": "lib/bin/job",
      "restart_policy": "NEVER",
      "placement_policy": {
        "constraints": [
          {"type": "AFFINITY", "scope": "NODE", "target_tags": ["web"], "node_partitions": ["gpu"],
           "node_attributes": {"os": ["x"]}}
        ]
      }
    }
  ],
  "quicklinks": {
    "The site": "http://web-0.${SERVICE_NAME}.${USER}.${DOMAIN}:8080/index.html",
    "Secure": "https://web-0.${SERVICE_NAME}.${USER}.${DOMAIN}:8443/"
  }
}
"""


def test_a_service() -> None:
    conversion = converted(SITE)
    spec = conversion.spec
    assert (conversion.kind, spec.name, spec.queue, spec.lifetime) == ("yarn-service", "site", "science", 3600)
    assert (spec.tags, spec.attempts, spec.node_failures) == (("version: 1.2",), 10, 5)
    assert (spec.logs.include, spec.logs.rolled_include) == ("std.*", ".*log")
    web, proxy, job = spec.services["web"], spec.services["proxy-1"], spec.services["job"]
    assert (web.instances, web.memory, web.vcores, web.anti_affinity) == (2, 512, 2, True)
    assert web.restart.model_dump(mode="json") == {
        "policy": "always",
        "limit": 4,
        "window": 60,
        "first_delay": 90,
        "longest_delay": 90,
    }
    assert web.readiness is not None and web.readiness.http is not None
    assert (web.readiness.http.port, web.readiness.http.path) == (8080, "/health")
    assert (web.readiness.interval, web.readiness.timeout, web.readiness.deadline) == (7, 2, 0)
    assert web.variables == {"MODE": "slow"}
    assert {(each.source, each.link, each.type and each.type.value) for each in web.files} == {
        ("hdfs:///data/words.txt", "words.txt", "FILE"),
        ("hdfs:///data/model.zip", "model", "ARCHIVE"),
        ("hdfs:///conf/a.conf", "source-a.conf", "FILE"),
    }
    assert web.command.endswith("\npython3 -m http.server 8080 > ${LOG_DIRS%%,*}/web.txt")
    assert proxy.docker is not None
    assert (proxy.docker.image, proxy.docker.privileged, proxy.docker.network) == ("centos/httpd:latest", True, "host")
    assert (proxy.depends_on, proxy.instances, proxy.memory) == ({"web": Condition.READY}, 1, 256)
    assert (proxy.gpus, proxy.resources) == (2, {"disks": 3})
    assert proxy.readiness is not None and (proxy.readiness.tcp, proxy.readiness.interval) == (80, 30)
    assert proxy.restart.limit == 9
    assert (job.node_label, job.restart.policy.value, job.command.splitlines()[-1]) == ("gpu", "never", "lib/bin/job")
    assert [(each.source, each.link) for each in job.files] == [("hdfs:///apps/job.tar.gz", "lib")]


def test_what_is_lost_has_its_line() -> None:
    assert lost(converted(SITE)) == {
        "description": 4,
        "configuration.properties.yarn.service.failure-count-reset.window": 15,
        "components[0].readiness_check.properties.min.success": 26,
        "components[0].configuration.files[7].src_file": 47,
        "Proxy_1": 52,
        "components[2].placement_policy.constraints[0]": 70,
        "components[2].placement_policy.constraints[0].node_attributes": 71,
        "quicklinks.Secure": 78,
    }


def run(command: str, folder: Path, **variables: str) -> str:
    """What a command prints in a folder, as instance 1 of a container."""
    known = {"PATH": "/usr/bin:/bin", "KNIT_INSTANCE": "1", "LOG_DIRS": f"{folder}/logs,/other", "USER": "alice"}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**known, **variables},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_files_that_its_command_writes(tmp_path: Path) -> None:
    """The setup lines run in bash; the program after them is replaced."""
    command = set_fields(converted(SITE), "web")["command"]
    (tmp_path / "source-a.conf").write_text("copied")
    (tmp_path / "words.txt").write_text("words")
    setup = command.rpartition("\n")[0]
    out = run(f'{setup}\necho "$ME|$LOGS"; cat resources/words.txt', tmp_path)
    assert out == f"web-1 of site|{tmp_path}/logs\nwords"
    conf = tmp_path / "conf"
    assert (conf / "index.html").read_text() == "it's web-1, $5\n"
    assert (conf / "x.properties").read_text() == "k=v\n"
    assert json.loads((conf / "x.json").read_text()) == {"k": "v"}
    assert (conf / "x.yaml").read_text() == "k: '1'\n"
    assert (conf / "copied.conf").read_text() == "copied"
    assert "<value>1 &lt; 2</value>" in (conf / "x-site.xml").read_text()
    assert "<value>alice</value>" in (conf / "x-site.xml").read_text()


def test_a_quick_link_is_a_page_of_the_first_instance() -> None:
    command = set_fields(converted(SITE), "web")["command"]
    assert '[ "$KNIT_INSTANCE" != 0 ] || python3 -m knit_container page The-site 8080 --path /index.html' in command
    assert "knit_container page" not in set_fields(converted(SITE), "job")["command"]


def test_constants_in_a_command(tmp_path: Path) -> None:
    text = one({"launch_command": 'echo "${COMPONENT_INSTANCE_NAME}" ${SERVICE_NAME} ${COMPONENT_ID}'})
    assert run(set_fields(converted(text), "c")["command"], tmp_path) == "c-1 s 1\n"
    quoted = one({"launch_command": "echo '${COMPONENT_INSTANCE_NAME}'"})
    assert lost(converted(quoted)) == {"components[0].launch_command": 1}


def one(component: dict[str, Any], **service: Any) -> str:
    """A service with one component."""
    base = {"name": "c", "launch_command": "true", "number_of_containers": 1, "resource": {"cpus": 1, "memory": "128"}}
    return json.dumps({"name": "s", "components": [{**base, **component}], **service})


@pytest.mark.parametrize(
    ("component", "words"),
    [
        ({"name": ""}, "components[0].name: it is missing"),
        ({"launch_command": ""}, "launch_command: it is missing; a container's entry point is not run"),
        ({"launch_command": "echo ${CLUSTER_FS_URI}"}, "${CLUSTER_FS_URI} has no equivalent: write the address"),
        ({"launch_command": "join ${C-0_HOST}"}, "${C-0_HOST} is only known when it runs"),
        ({"launch_command": "join x.${DOMAIN}"}, "${DOMAIN} has no equivalent: containers have no names in DNS"),
        ({"artifact": {"type": "SERVICE", "id": "other"}}, "the components of another service cannot be read here"),
        ({"artifact": {"type": "DOCKER"}}, "artifact.id: it is missing"),
        ({"resource": {"profile": "small"}}, "what it stands for is only known to the cluster"),
        ({"resource": {"additional": {"x": {"value": 1, "unit": "Gi"}}}}, "write the value in it, without unit"),
        ({"restart_policy": "SOMETIMES"}, "should be ALWAYS, ON_FAILURE or NEVER"),
        ({"readiness_check": {"type": "HTTP", "properties": {"url": "https://${THIS_HOST}"}}}, "should be http://${THIS_HOST}"),
        ({"readiness_check": {"type": "MAGIC"}}, "should be DEFAULT, HTTP or PORT"),
        ({"configuration": {"files": [{"type": "XML", "dest_file": "/etc/x"}]}}, "only possible in a container of Docker"),
        ({"configuration": {"files": [{"type": "XML", "dest_file": "../x"}]}}, "a path may not leave its folder"),
        ({"configuration": {"files": [{"type": "STATIC", "dest_file": "a/../../b", "src_file": "/x"}]}}, "without a folder"),
        ({"configuration": {"files": [{"type": "TEMPLATE", "dest_file": "a"}]}}, "a template needs `content`"),
        ({"configuration": {"files": [{"type": "HADOOP_XML", "dest_file": "a", "src_file": "/x", "properties": {"a": "b"}}]}},
         "they cannot be merged into src_file"),
        ({"configuration": {"files": [{"type": "TOML", "dest_file": "a"}]}}, "should be one of"),
        ({"configuration": {"env": {"YARN_CONTAINER_RUNTIME_DOCKER_RUN_OVERRIDE_DISABLE": "true"}}}, "entry point is not run"),
        ({"number_of_containers": None}, "number_of_containers: it is missing, here and at the service"),
    ],
)  # fmt: skip
def test_refusals(component: dict[str, Any], words: str) -> None:
    assert any(words in problem for problem in refused(one(component))), refused(one(component))


def test_an_absolute_file_of_a_docker_component_is_written_by_its_command() -> None:
    files = [{"type": "ENV", "dest_file": "/etc/x y.env", "properties": {"content": "A=1"}}]
    conversion = converted(one({"artifact": {"id": "img"}, "configuration": {"files": files}}))
    assert "printf %s A=1 > '/etc/x y.env' || exit 1" in set_fields(conversion, "c")["command"]
    assert lost(conversion) == {"components[0].configuration.files[0].dest_file": 1}


def test_the_answer_of_the_api_for_a_running_service_is_converted_too() -> None:
    conversion = converted(
        one(
            {"state": "STABLE", "containers": [{"id": "container_1"}]},
            id="application_1_1",
            state="STABLE",
            lifetime=-1,
        )
    )
    assert conversion.spec.lifetime == 0
    assert set(lost(conversion)) == {"components[0].state", "components[0].containers", "id", "state"}
