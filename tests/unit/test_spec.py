"""Specifications: every mistake is named, all of them at once, with the nearest right key."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from knit_core.errors import SpecError
from knit_core.spec import ApplicationSpec, EnvironmentRef, File, FileType, Service, application_spec


def _problems(**service: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        application_spec({"services": {"main": {"command": "true", **service}}})
    return caught.value.problems


def _app_problems(**fields: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        application_spec({"services": {"main": {"command": "true"}}, **fields})
    return caught.value.problems


def test_a_command_with_its_short_form() -> None:
    spec = application_spec(
        "python train.py",
        instances=4,
        memory="2 GiB",
        vcores=2,
        files=["train.py"],
        variables={"A": "b", "N": 3},
        env="env.tar.gz",
        name="train",
        queue=None,
        lifetime="2 h",
    )
    main = spec.services["main"]
    assert (main.command, main.instances, main.memory, main.vcores) == ("python train.py", 4, 2048, 2)
    assert main.variables == {"A": "b", "N": "3"}
    assert main.environment == EnvironmentRef(archive="env.tar.gz")
    assert (spec.name, spec.queue, spec.lifetime, spec.instances) == ("train", None, 7200.0, 4)


def test_a_command_as_a_list_is_quoted() -> None:
    assert Service(command=["echo", "a b", "$HOME"]).command == "echo 'a b' '$HOME'"


def test_a_spec_survives_json_and_itself() -> None:
    spec = application_spec({"services": {"main": {"command": "x", "files": {"a.zip": "b"}, "memory": "1.5 GiB"}}})
    assert application_spec(json.loads(spec.model_dump_json())) == spec
    assert application_spec(spec) == spec
    assert application_spec(spec, queue="science").queue == "science"


def test_a_spec_does_not_change() -> None:
    spec = application_spec("true")
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"


@pytest.mark.parametrize("command", ["", "  \n", None, 5, []])
def test_an_empty_command(command: Any) -> None:
    assert _problems(command=command) == [
        "services.main.command: the command is empty: set the command for each container"
    ]


def test_a_command_with_nul() -> None:
    assert _problems(command="a\0b") == ["services.main.command: the command cannot contain a NUL character"]


def test_no_command() -> None:
    with pytest.raises(SpecError) as caught:
        application_spec({"services": {"main": {}}})
    assert caught.value.problems == ["services.main.command: missing"]


def test_the_nearest_key_is_named_at_every_depth() -> None:
    assert _problems(instnces=2) == ["services.main.instnces: unknown key; did you mean 'instances'?"]
    assert _problems(files=[{"source": "a", "nmae": "b"}]) == [
        "services.main.files.0.nmae: unknown key; did you mean 'name'?"
    ]
    assert _problems(environment={"archive": "a.zip", "pyton": "3"}) == [
        "services.main.environment.pyton: unknown key; did you mean 'python'?"
    ]
    assert _app_problems(que="x") == ["que: unknown key; did you mean 'queue'?"]


def test_a_key_like_no_other_gets_the_list() -> None:
    (problem,) = _app_problems(zzzzzz=1)
    assert problem.startswith(
        "zzzzzz: unknown key; known keys: acls, attempt_window, attempts, completion, lifetime, logs"
    )


def test_an_unknown_word_of_the_short_form() -> None:
    with pytest.raises(SpecError, match="unknown key; did you mean 'memory'"):
        application_spec("true", memroy=1)


def test_all_problems_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        application_spec(
            {
                "attempts": 0,
                "services": {"main": {"command": "", "memory": "lots", "vcores": 0}, "ps": {"command": "x", "foo": 1}},
            }
        )
    where = {problem.partition(": ")[0] for problem in caught.value.problems}
    assert where == {
        "attempts",
        "services.main.command",
        "services.main.memory",
        "services.main.vcores",
        "services.ps.foo",
    }
    text = str(caught.value)
    assert text.startswith("Bad specification:\n  - ")
    assert all(problem in text for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("instances", -1, "greater than or equal to 0"),
        ("instances", 100_001, "less than or equal to 100000"),
        ("instances", "many", "valid integer"),
        ("memory", "lots", "memory is a number of MiB or a text such as '2 GiB', not 'lots'"),
        ("memory", 0, "memory must be positive"),
        ("memory", 2**31, "less than or equal to"),
        ("vcores", 0, "greater than or equal to 1"),
        ("resources", {"yarn.io/gpu": -1}, "greater than or equal to 0"),
        ("variables", ["A=b"], "variables must be a mapping of names to texts, not list"),
        ("variables", {"1A": "b"}, "'1A' is not a name of an environment variable"),
        ("variables", {"A B": "b"}, "'A B' is not a name of an environment variable"),
        ("variables", {"A\n": "b"}, "is not a name of an environment variable"),
        ("variables", {"KNIT_APP_ID": "b"}, "names that begin with KNIT_ are reserved for Knit"),
        ("variables", {"A": None}, "the variable A must be a text, not NoneType"),
        ("variables", {"A": True}, "the variable A must be a text, not bool"),
        ("variables", {"A": "x\0"}, "the variable A cannot contain a NUL character"),
        ("files", "a,b", "files must be a list of paths, not one text: files=['a,b']"),
        ("files", 5, "files must be a list of paths, not int"),
        ("files", [""], "a file's source must be a path or a URL, not an empty text"),
        ("files", ["/"], "'/' has no file name: set `name`"),
        ("files", [{"source": "a", "name": "b/c"}], "a name without a path, not 'b/c'"),
        ("files", [{"source": "a", "name": ".."}], "a name without a path, not '..'"),
        ("files", ["x/a.txt", "y/a.txt"], "two files have the name 'a.txt'"),
        ("files", [{"source": "a", "name": "knit-main.sh"}], "'knit-main.sh' is reserved for Knit"),
        ("files", [{"source": "a", "name": ".knit-x"}], "is reserved for Knit"),
        ("files", ["some/environment"], "'environment' is reserved for Knit"),
        ("files", [{"source": "a", "type": "PATTERN"}], "FILE"),
        ("files", [{"source": "a.bin", "type": "ARCHIVE"}], "is not an archive that YARN unpacks"),
        ("files", [{"source": "a", "name": "x\ny"}], "one line of at most 255 bytes: set `name`"),
        ("files", ["dir/" + "é" * 128], "one line of at most 255 bytes: set `name`"),
        ("files", ["hdfs:///data/a$(id)"], "has a name that YARN cannot use in place"),
        ("variables", {"A": "x" * 131073}, "has 131073 bytes, Linux allows 131071"),
        ("variables", {f"A{n}": "x" * 120_000 for n in range(9)}, "command and variables together have 10800"),
        ("gpus", True, "should be a whole number, not true"),
        ("fatal_codes", [1, 0], "exit code 0 is in success_codes and in fatal_codes"),
        ("success_codes", [], "no instance could ever succeed"),
        ("relax_locality", True, "relax_locality has no effect without nodes or racks"),
        ("readiness", {"tcp": 1, "report": True}, "not tcp and report"),
        ("readiness", {"tcp": 1, "interval": 0}, "must be at least 0.1 s"),
        ("docker", "no spaces", "is not the name of a Docker image"),
        ("docker", {"image": "x", "mounts": ["a:b"]}, "a mount must be /on/the/node:/in/the/container"),
        ("nodes", ["a b"], "is not the name of a node"),
        ("racks", ["r1"], "is not the name of a rack (/like/this)"),
        ("node_label", "a&&b", "is not a node label"),
        ("restart", {"policy": "always", "first_delay": 100}, "longest_delay is shorter than first_delay"),
        ("environment", "", "an environment must be an archive's path"),
        ("environment", "envs/mine", "is not an archive that YARN unpacks"),
        ("environment", {"archive": "/opt/env", "kind": "folder"}, "an environment's kind must be 'archive' or 'path'"),
    ],
)
def test_mistakes_in_a_service(field: str, value: Any, says: str) -> None:
    problems = _problems(**{field: value})
    assert len(problems) == 1, problems
    assert problems[0].startswith("services.main")
    assert says in problems[0]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", "", "at least 1 character"),
        ("name", "x" * 251, "at most 250 characters"),
        ("services", {}, "at least 1 item"),
        ("services", {"Main": {"command": "x"}}, "'Main' is not a service name"),
        ("services", {"a_b": {"command": "x"}}, "'a_b' is not a service name"),
        ("priority", -1, "greater than or equal to 0"),
        ("attempts", 0, "greater than or equal to 1"),
        ("lifetime", "soon", "a time span is a number of seconds"),
        ("lifetime", -1, "a time span must be finite and not negative, not -1"),
        ("master_memory", 0, "memory must be positive"),
        ("tags", ["a"] * 9, "at most 8 tags are allowed, not 9"),
        ("tags", ["a,b"], "without a comma, not 'a,b'"),
        ("tags", ["ä"], "printable ASCII"),
        ("tags", [""], "1 to 100"),
        ("tags", ["x" * 101], "1 to 100"),
        ("tags", ["a\nb"], "printable ASCII"),
    ],
)
def test_mistakes_in_an_application(field: str, value: Any, says: str) -> None:
    problems = _app_problems(**{field: value})
    assert len(problems) == 1, problems
    assert problems[0].startswith(field)
    assert says in problems[0]


def test_text_that_no_file_can_hold_is_a_mistake_too() -> None:
    assert "services.main.variables" in _problems(variables={"A": "\ud800"})[0]
    assert "services.main.command" in _problems(command="echo \udcff")[0]


@pytest.mark.parametrize(
    ("source", "link", "kind", "remote"),
    [
        ("/data/train.py", "train.py", FileType.FILE, False),
        ("data.zip", "data.zip", FileType.ARCHIVE, False),
        ("DATA.TAR.GZ", "DATA.TAR.GZ", FileType.ARCHIVE, False),
        ("a.tgz", "a.tgz", FileType.ARCHIVE, False),
        ("file:///tmp/x.txt", "x.txt", FileType.FILE, False),
        ("hdfs://nn:8020/data/x.tar", "x.tar", FileType.ARCHIVE, True),
        ("folder/", "folder", FileType.FILE, False),
    ],
)
def test_what_a_file_is_called_and_how_it_arrives(source: str, link: str, kind: FileType, remote: bool) -> None:
    file = File.model_validate(source)
    assert (file.link, file.yarn_type, file.remote) == (link, kind, remote)
    assert File(source=source, name="other", type=FileType.FILE).yarn_type is FileType.FILE


def test_a_file_may_be_a_path_object() -> None:
    service = Service(command="x", files=[Path("/tmp/a.txt"), {"source": "b", "name": "c"}])
    assert [file.link for file in service.files] == ["a.txt", "c"]
    assert service.files[0].path == "/tmp/a.txt"


def test_an_environment_may_be_the_result_of_a_build() -> None:
    built = SimpleNamespace(as_ref=lambda: {"archive": "/c/e.tar.gz", "sha256": "ab", "platform": "linux-64"})
    environment = Service(command="x", environment=built).environment
    assert environment is not None
    assert (environment.archive, environment.sha256, environment.platform) == ("/c/e.tar.gz", "ab", "linux-64")
    on_nodes = Service(command="x", environment={"archive": "/opt/env", "kind": "path"}).environment
    assert on_nodes is not None
    assert on_nodes.kind == "path"


def test_instances_are_those_of_all_services() -> None:
    spec = ApplicationSpec(services={"a": Service(command="x", instances=2), "b": Service(command="y", instances=3)})
    assert spec.instances == 5
