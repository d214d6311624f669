"""skein's specifications: what is converted, what is lost, what is refused."""

from __future__ import annotations

from knit_core.spec import RestartPolicy
from tests.unit.convert.harness import converted, lost, refused, set_fields

ECHO = """\
name: echoes
queue: science
user: alice
node_label: fast
max_attempts: 3
tags: [one, two]
file_systems: ["hdfs://other:8020"]
acls:
  enable: true
  view_users: [nancy, bob]
  view_groups: [ops]
  modify_users: ["*"]
  ui_users: [carol]
master:
  resources: {memory: 2 GiB, vcores: 2}
  log_level: debug
services:
  echo.server:
    instances: 2
    resources: {memory: 1.5 GiB, vcores: 2, gpus: 1, fpgas: 2}
    files:
      environment: env.tar.gz
      ./server.py: {source: src/server.py, visibility: public}
      data: {source: data.zip, type: archive, size: 12}
      raw.tar: raw.tar
    env: {PORT: 8080, HERE: "$HOME/x", PATH: "/opt/bin:$PATH"}
    max_restarts: 3
    nodes: [worker1]
    relax_locality: true
    script: |
      source environment/bin/activate
      python server.py
  watcher:
    depends: [echo.server]
    max_restarts: -1
    allow_failures: true
    node_label: ""
    script: skein kv get --key address
"""


def test_a_specification() -> None:
    conversion = converted(ECHO)
    spec = conversion.spec
    assert (conversion.kind, spec.name, spec.queue, spec.attempts, spec.tags) == (
        "skein",
        "echoes",
        "science",
        3,
        ("one", "two"),
    )
    assert (spec.acls.view, spec.acls.modify, spec.master_label, spec.master_memory) == (
        "nancy,bob ops",
        "*",
        "fast",
        2048,
    )
    server, watcher = spec.services["echo-server"], spec.services["watcher"]
    assert (server.memory, server.vcores, server.gpus, server.resources) == (1536, 2, 1, {"yarn.io/fpga": 2})
    assert server.command == "source environment/bin/activate\npython server.py\n"
    assert server.environment is not None and server.environment.archive == "env.tar.gz"
    assert [(each.source, each.name, each.type and each.type.value) for each in server.files] == [
        ("src/server.py", "server.py", "FILE"),
        ("data.zip", "data", "ARCHIVE"),
        ("raw.tar", "raw.tar", "FILE"),
    ]
    assert server.variables == {"PORT": "8080", "HERE": "$HOME/x", "PATH": "/opt/bin:$PATH"}
    assert (server.restart.policy, server.restart.limit) == (RestartPolicy.ON_FAILURE, 3)
    assert (server.nodes, server.relax_locality, server.node_label) == (("worker1",), True, "fast")
    assert (watcher.depends_on["echo-server"].value, watcher.required) == ("started", False)
    assert (watcher.restart.policy, watcher.restart.limit, watcher.node_label) == (RestartPolicy.ON_FAILURE, None, "")


def test_what_is_lost_has_its_line() -> None:
    assert lost(converted(ECHO)) == {
        "user": 3,
        "file_systems": 7,
        "acls.ui_users": 13,
        "master.resources.vcores": 15,
        "master.log_level": 16,
        "echo.server": 18,
        "services.echo.server.files../server.py.visibility": 23,
        "variable HERE": 26,
        "services.echo.server.max_restarts": 27,
        "services.watcher.allow_failures": 36,
        "services.watcher.script": 38,
    }


def test_the_application_driver_is_a_service_whose_end_is_the_applications() -> None:
    conversion = converted(
        "master: {script: ./run, resources: {memory: 512}, env: {A: b}}\n"
        "services:\n  driver: {script: sleep 1}\n  other: {script: sleep 1}\n"
    )
    assert conversion.spec.completion == ("skein-driver",)
    assert set_fields(conversion, "skein-driver") == {
        "command": "./run",
        "memory": 512,
        "variables": {"A": "b"},
        "manages": True,
    }
    assert lost(conversion) == {"master.script": 1}
    alone = converted("name: a\nmaster:\n  script: ./run\n")
    assert (alone.spec.name, list(alone.spec.services), alone.spec.completion) == ("a", ["driver"], ("driver",))


def test_the_list_of_commands_of_older_versions() -> None:
    conversion = converted("services: {a: {commands: [cd x, ./y]}}")
    assert set_fields(conversion, "a") == {"command": "cd x\n./y"}


def test_acls_that_are_not_enabled_are_ignored_as_skein_does() -> None:
    conversion = converted("services: {a: {script: x}}\nacls: {view_users: [bob]}\n")
    assert (conversion.spec.acls.view, lost(conversion)) == ("", {"acls.view_users": 2})


def test_json_and_anchors() -> None:
    assert converted('{"services": {"a": {"script": "x", "instances": 2}}}').spec.services["a"].instances == 2
    text = "x: &e {A: '1'}\nservices:\n  a: {script: x, env: {<<: *e, B: '2'}}\n"
    assert converted(text).spec.services["a"].variables == {"A": "1", "B": "2"}


def test_all_reasons_to_refuse_come_at_once_with_their_lines() -> None:
    text = (
        "services:\n"
        "  a:\n"
        "    script: x\n"
        "    instances: many\n"
        "    depends: [b]\n"
        "    resources: {memory: 3 apples}\n"
        "    files:\n"
        "      ../x: y\n"
        "      environment: y.py\n"
        "      z: {type: file}\n"
        "  A: {}\n"
        "  a: {script: y}\n"
    )
    assert refused(text) == [
        "file:4: services.a.instances: should be a whole number of at most 18 digits, not 'many'",
        "file:5: services.a.depends: 'b' is no service",
        "file:6: services.a.resources.memory: memory is a number of MiB or a text such as '2 GiB', not '3 apples'",
        "file:8: services.a.files.../x: should be a file name without a folder",
        "file:9: services.a.files.environment: this name is reserved for the Python environment: rename the file",
        "file:10: services.a.files.z: the source is missing",
        "file:11: 'A': two services would have the name 'a': rename one of them",
        "file:11: services.A.script: the script is missing",
        "file:12: services.a: occurs twice (first in line 2)",
    ]


def test_what_only_the_specification_refuses_has_the_line_of_the_source() -> None:
    text = "services:\n  a:\n    script: x\n    instances: -1\n  b:\n    script: x\n    depends: [b]\n"
    assert refused(text) == [
        "file:4: services.a.instances: should be greater than or equal to 0, not -1",
        "file:7: services.b.depends_on.b: services wait for one another in a circle: b -> b",
    ]
