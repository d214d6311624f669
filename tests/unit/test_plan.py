"""The plan of a launch against docs/protocol.md: bodies, uploads, determinism, and where the secret may stand."""

from __future__ import annotations

import base64
import json
import pprint
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from knit_core.launch.plan import LaunchPlan, make_plan, master_command, master_heap
from knit_core.model.cluster_facts import ClusterFacts, ClusterFeatures, FileStatus, NewApplication, Node
from knit_core.model.upload import Upload
from knit_core.spec import application_spec

SECRET = bytes(range(32))
FACTS = ClusterFacts(
    NewApplication("application_1_0001", 8192, 4, {}),
    (),
    None,
    "alice",
    "hdfs://nn:8020",
    ("http://nn:9870",),
    "/user/alice/.knit",
    classpath="/a/*, /b/*",
)
JAR = Upload.of("knit-am.jar", b"jar")
SPEC: dict[str, Any] = {
    "name": "train",
    "lifetime": "1 h",
    "tags": ["mine"],
    "services": {
        "main": {"command": "x", "instances": 2, "files": ["/d/a.txt", "hdfs://nn:8020/big.zip"], "variables": {"A": "b"}},
        "ps": {"command": "x", "files": [{"source": "/d/a.txt", "name": "b.txt"}], "environment": "/d/env.zip"},
    },
}  # fmt: skip


def _plan(app_id: str = "application_1_0001", **changes: Any) -> LaunchPlan:
    facts = ClusterFacts(**{**FACTS.__dict__, "new": NewApplication(app_id, 8192, 4, {})})
    files = {"/d/a.txt": Upload.of("a.txt", b"a"), "/d/env.zip": Upload.of("env.zip", b"zip")}
    zipped = Upload.of("knit-container.zip", b"c")
    return make_plan(
        application_spec({**SPEC, **changes}), facts, jar=JAR, container_zip=zipped, files=files, tags=("knit",)
    )


def _staged(plan: LaunchPlan, *more: Upload) -> dict[str, FileStatus]:
    sizes = {upload.remote(FACTS.staging): upload.size for upload in (*plan.uploads, *more)}
    sizes.update(dict.fromkeys(plan.remotes, 99))
    return {path: FileStatus(path, size, 1234, False, "alice", "644") for path, size in sizes.items()}


def _submission(plan: LaunchPlan) -> dict[str, Any]:
    document = Upload.of("knit-app.json", plan.document(_staged(plan)))
    return plan.submission(_staged(plan, document), document, SECRET)


def test_the_document() -> None:
    plan = _plan()
    found = json.loads(plan.document(_staged(plan)))
    assert set(found) == {
        *("format", "name", "user", "staging", "webhdfs", "simple", "ports", "lifetime", "services"),
        *("journal", "completion", "nodeFailures", "acls"),
    }
    assert (found["format"], found["staging"], found["lifetime"]) == (2, "hdfs://nn:8020/user/alice/.knit", 3600)
    assert (found["journal"], found["completion"], found["nodeFailures"]) == (True, ["main", "ps"], 3)
    main = found["services"]["main"]
    assert set(main) == {
        *("instances", "memory", "vcores", "resources", "script", "env", "files", "label", "nodes", "racks", "relax"),
        *("spread", "opportunistic", "depends", "restart", "gang", "grace", "success", "fatal", "required", "manages"),
    }
    assert (main["instances"], main["memory"], main["script"], main["env"]) == (2, 1024, "knit-main.sh", {})
    files = {file["link"]: file for file in main["files"]}
    assert set(files) == {"knit-main.sh", "knit-container.zip", "a.txt", "big.zip"}
    assert files["big.zip"] == {
        "link": "big.zip", "url": "hdfs://nn:8020/big.zip", "size": 99, "timestamp": 1234, "type": "ARCHIVE",
        "visibility": "PRIVATE",
    }  # fmt: skip
    environment = {file["link"]: file for file in found["services"]["ps"]["files"]}["environment"]
    assert (environment["type"], environment["url"][-8:]) == ("ARCHIVE", "/env.zip")


def test_every_field_of_a_service_reaches_the_document() -> None:
    service = {
        "command": "x", "gpus": 2, "resources": {"fpga": 1}, "docker": {"image": "a/b:1", "mounts": ["/d:/e:rw"]},
        "node_label": "ssd", "nodes": ["n1"], "racks": "/r1", "relax_locality": True, "opportunistic": True,
        "depends_on": {"db": "succeeded"}, "readiness": {"http": {"port": 80, "path": "/up"}, "deadline": "2 min"},
        "restart": {"policy": "on-failure", "window": "1 h"}, "stop_grace": "5 s", "success_codes": [0, 3],
        "fatal_codes": 7, "required": False, "manages": True,
    }  # fmt: skip
    db = {"command": "y", "instances": 2, "gang": "1 min", "restart": "always", "readiness": {"tcp": 5000}}
    plan = _plan(
        services={"main": service, "db": {**db, "restart": "never"}, "spread": {"command": "z", "anti_affinity": True}}
    )
    found = json.loads(plan.document(_staged(plan)))["services"]
    assert found["main"] | {"files": []} == {
        "instances": 1, "memory": 1024, "vcores": 1, "resources": {"fpga": 1, "yarn.io/gpu": 2},
        "script": "knit-main.sh", "files": [], "label": "ssd", "nodes": ["n1"], "racks": ["/r1"], "relax": True,
        "env": {
            "YARN_CONTAINER_RUNTIME_TYPE": "docker", "YARN_CONTAINER_RUNTIME_DOCKER_IMAGE": "a/b:1",
            "YARN_CONTAINER_RUNTIME_DOCKER_MOUNTS": "/d:/e:rw",
        },
        "spread": False, "opportunistic": True, "depends": {"db": "succeeded"},
        "readiness": {"kind": "http", "port": 80, "path": "/up", "interval": 1000, "timeout": 5000, "deadline": 120000},
        "restart": {"policy": "on-failure", "limit": 3, "window": 3600000, "firstDelay": 1000, "longestDelay": 60000},
        "gang": 0, "grace": 5000, "success": [0, 3], "fatal": [7], "required": False, "manages": True,
    }  # fmt: skip
    assert (found["db"]["gang"], found["db"]["readiness"]["kind"], found["spread"]["spread"]) == (60000, "tcp", True)


def test_the_document_holds_no_application_id_and_is_the_same_bytes() -> None:
    one, two = _plan("application_1_0001"), _plan("application_1_0002")
    assert one.document(_staged(one)) == two.document(_staged(two))
    assert b"application_" not in one.document(_staged(one))


def test_uploads_of_one_content_happen_once() -> None:
    plan = _plan()
    assert sorted(upload.name for upload in plan.uploads) == [
        *("a.txt", "env.zip", "knit-am.jar", "knit-container.zip", "knit-main.sh", "knit-ps.sh"),
    ]
    assert plan.remotes == ["/big.zip"]


def test_the_submission() -> None:
    body = _submission(_plan())
    assert (body["application-id"], body["application-type"]) == ("application_1_0001", "KNIT")
    assert "queue" not in body  # nobody named one: the cluster's rules choose it, or YARN takes "default"
    assert body["application-tags"] == {"tag": ["mine", "knit"]}
    container = body["am-container-spec"]
    assert [entry["key"] for entry in container["local-resources"]["entry"]] == ["knit-am.jar", "knit-app.json"]
    command = container["commands"]["command"]
    assert " -cp knit-am.jar:/a/*:/b/* " in command
    assert command.endswith(" knit.am.Main 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr")
    assert {"key": "HADOOP_USER_NAME", "value": "alice"} in container["environment"]["entry"]
    secret = base64.b64encode(SECRET).decode()
    (entry,) = container["credentials"]["secrets"]["entry"]
    assert (entry["key"], entry["value"].reveal()) == ("knit.secret", secret)
    assert secret not in pprint.pformat(body)
    del container["credentials"]
    assert secret not in json.dumps(body)
    assert SECRET.hex() not in json.dumps(body)
    assert "priority" not in body


def test_every_field_of_an_application_reaches_the_submission() -> None:
    body = _submission(
        _plan(
            queue="science", priority=7, attempts=5, attempt_window="10 min", master_memory="1 GiB", master_label="ssd",
            acls={"view": ["bob", "carol"], "modify": "dave ops"}, logs={"include": "std.*", "rolled_exclude": "x"},
        )
    )  # fmt: skip
    assert (body["queue"], body["priority"], body["max-app-attempts"]) == ("science", 7, 5)
    assert body["attempt-failures-validity-interval"] == 600_000
    assert body["keep-containers-across-application-attempts"] is True
    assert body["resource"] == {"memory": 1024, "vCores": 1}
    assert body["am-container-node-label-expression"] == "ssd"
    assert body["am-container-spec"]["application-acls"]["entry"] == [
        {"key": "MODIFY_APP", "value": "dave ops"},
        {"key": "VIEW_APP", "value": "bob,carol"},
    ]
    assert body["log-aggregation-context"] == {
        "log-include-pattern": "std.*",
        "log-exclude-pattern": "",
        "rolled-log-include-pattern": "",
        "rolled-log-exclude-pattern": "x",
    }


def test_one_attempt_needs_no_journal() -> None:
    plan = _plan(attempts=1)
    assert json.loads(plan.document(_staged(plan)))["journal"] is False
    assert _submission(plan)["keep-containers-across-application-attempts"] is False


def test_a_cluster_that_gives_one_attempt_gets_no_journal_either() -> None:
    plan = replace(_plan(), facts=replace(FACTS, features=ClusterFeatures(attempts=1)))
    assert json.loads(plan.document(_staged(plan)))["journal"] is False
    body = _submission(plan)
    assert (body["max-app-attempts"], body["keep-containers-across-application-attempts"]) == (1, False)


def test_only_on_a_rack_means_its_nodes() -> None:
    """Strict requests for racks are never granted by the CapacityScheduler; preferences are left to it."""
    nodes = tuple(Node(host, rack, "RUNNING", 1, 1) for host, rack in (("b", "/r1"), ("a", "/r1"), ("c", "/r2")))
    service = {"command": "x", "racks": "/r1", "nodes": "a"}
    plan = _plan(services={"strict": service, "relaxed": {**service, "relax_locality": True}})
    plan = replace(plan, facts=replace(plan.facts, nodes=nodes))
    found = json.loads(plan.document(_staged(plan)))["services"]
    assert (found["strict"]["nodes"], found["strict"]["racks"]) == (["a", "b"], [])
    assert (found["relaxed"]["nodes"], found["relaxed"]["racks"]) == (["a"], ["/r1"])
    unknown = replace(plan, facts=replace(plan.facts, nodes=None))
    assert json.loads(unknown.document(_staged(plan)))["services"]["strict"]["racks"] == ["/r1"]


def test_names_that_yarns_script_would_expand_are_not_given_to_it() -> None:
    files = {"a$(id).txt": "/d/a.txt", "it's.txt": "hdfs://nn:8020/x/what?#%41.txt", "plain-1.txt": "/d/a.txt"}
    plan = _plan(services={"main": {"command": "x", "files": files}})
    links = {row["link"]: row["url"] for row in json.loads(plan.document(_staged(plan)))["services"]["main"]["files"]}
    assert set(links) == {"knit-main.sh", "knit-container.zip", ".knit-file-0", ".knit-file-1"}
    assert links[".knit-file-1"] == "hdfs://nn:8020/x/what?#%41.txt"
    assert "ln -sfn -- .knit-file-0 'a$(id).txt' || exit 127\n" in plan.scripts["main"]
    assert "ln -sfn -- .knit-file-0 plain-1.txt || exit 127\n" in plan.scripts["main"]  # one file is localised once


def test_what_is_shown_holds_no_secret() -> None:
    text = json.dumps(_plan().describe())
    assert "knit.secret" not in text
    assert "credentials" not in text
    assert "export A=b" in text


def test_an_environment_is_one_file_for_yarn_where_tar_can_unpack_it() -> None:
    def environment(archive: str, **more: Any) -> dict[str, Any]:
        services = {"main": {"command": "x", "environment": f"hdfs://nn:8020/{archive}", **more}}
        plan = _plan(services=services)
        files = json.loads(plan.document(_staged(plan)))["services"]["main"]["files"]
        return next(file for file in files if "environment" in file["link"])

    found = {name: environment(name) for name in ("a.tar.gz", "a.tgz", "a.tar", "a.zip")}
    assert {name: (file["link"], file["type"]) for name, file in found.items()} == {
        "a.tar.gz": ("knit-environment", "FILE"),
        "a.tgz": ("knit-environment", "FILE"),
        "a.tar": ("knit-environment", "FILE"),
        "a.zip": ("environment", "ARCHIVE"),
    }
    in_docker = environment("a.tar.gz", docker="image:1")
    assert (in_docker["link"], in_docker["type"]) == ("environment", "ARCHIVE")


@pytest.mark.parametrize(
    ("instances", "memory", "heap"), [(1, 256, 128), (1024, 256, 128), (10_000, 320, 192), (100_000, 704, 576)]
)
def test_the_memory_of_the_application_master_follows_its_instances(instances: int, memory: int, heap: int) -> None:
    """The table of docs/configuration.md."""
    spec = application_spec({"services": {"main": {"command": "x", "instances": instances}}})
    assert spec.memory_of_master == memory
    assert master_heap(memory) == heap
    row = f"| {memory} MiB |"
    assert row in Path("docs/configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("memory", "heap"), [(64, 32), (128, 64), (300, 172), (1024, 896)])
def test_the_heap_follows_the_memory_that_is_given(memory: int, heap: int) -> None:
    spec = application_spec({"services": {"main": {"command": "x"}}, "master_memory": memory})
    assert spec.memory_of_master == memory
    assert f"-Xmx{heap}m" in master_command(FACTS, spec.memory_of_master, JAR)
