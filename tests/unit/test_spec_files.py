"""Specifications in files: what is read, and every mistake with its line, all of them at once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from knit_core.errors import SpecError
from knit_core.spec import ApplicationSpec, Condition, RestartPolicy
from knit_core.spec.documents import dumps, load, loads
from knit_core.spec.parser import MOST_BYTES

SMALL = "services:\n  main:\n    command: 'true'\n"


def problems(content: str | bytes, parameters: dict[str, Any] | None = None, **options: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        loads(content, parameters, origin="x.yaml", **options)
    return caught.value.problems


def test_a_yaml_file(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(
        """\
# a specification
name: train
queue: science
lifetime: 2 h
services:
  db:
    command: ./db --port 5000
    readiness: {tcp: 5000}
    restart: always
  train:
    command: [python, train.py, "a b"]
    instances: 4
    memory: 2 GiB
    depends_on: [db]
    files: [train.py, /data/x.zip, "hdfs:///data/y.csv", sub/]
    environment: envs/science.tar.gz
    relax_locality: no
    variables: {WHEN: 2026-11-23, VERSION: 1.10, CODE: 007, YES: "yes", ON: on}
"""
    )
    spec = ApplicationSpec.load(path)
    train = spec.services["train"]
    assert (spec.name, spec.queue, spec.lifetime) == ("train", "science", 7200.0)
    assert spec.services["db"].restart.policy is RestartPolicy.ALWAYS
    assert (train.command, train.instances, train.memory) == ("python train.py 'a b'", 4, 2048)
    assert train.depends_on == {"db": Condition.READY}
    assert [file.source for file in train.files] == [
        f"{tmp_path}/train.py",
        "/data/x.zip",
        "hdfs:///data/y.csv",
        f"{tmp_path}/sub/",
    ]
    assert train.environment is not None
    assert train.environment.archive == f"{tmp_path}/envs/science.tar.gz"
    assert train.variables == {"WHEN": "2026-11-23", "VERSION": "1.10", "CODE": "007", "YES": "yes", "ON": "on"}
    assert load(str(path)) == spec


def test_paths_are_relative_to_the_files_folder_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "a.yaml").write_text(SMALL + "    files: {x.txt: data/x.txt, home.txt: ~/y.txt}\n")
    monkeypatch.chdir(tmp_path)
    files = load("specs/a.yaml").services["main"].files
    assert [(file.link, file.source) for file in files] == [
        ("x.txt", f"{tmp_path}/specs/data/x.txt"),
        ("home.txt", "~/y.txt"),
    ]
    nodes_own = SMALL + "    environment: {archive: opt/env, kind: path}\n"
    environment = loads(nodes_own, folder="/here").services["main"].environment
    assert environment is not None
    assert environment.archive == "opt/env"


def test_a_json_file(tmp_path: Path) -> None:
    path = tmp_path / "train.JSON"
    text = (
        '{\n\t"$schema": "knit-spec.schema.json",\n\t"services": {"main": {"command": "echo \\ud83e\\uddf6 \\/ \\u0041",\n'
        '\t\t"variables": {"A": 1.50}}}\n}'
    )
    path.write_text("\ufeff" + text, encoding="utf-8")
    main = load(path).services["main"]
    assert (main.command, main.variables) == ("echo \U0001f9f6 / A", {"A": "1.50"})
    path.write_text(text.replace('"variables"', '"varables"').replace('{"main"', '{"main": {"command": 5}, "main"'))
    with pytest.raises(SpecError) as caught:
        load(path)
    assert caught.value.problems == [
        f"{path}:3: services.main: occurs twice (first in line 3)",
        f"{path}:3: services.main.command: the command is empty: set the command for each container",
    ]


def test_json_is_read_strictly() -> None:
    for text, says in [
        ("{'a': 1}", "x.yaml:1: not JSON: Expecting property name enclosed in double quotes (column 2)"),
        ('{\n"a": 1,}', "not JSON"),
        ('{"name": NaN}', "not JSON: NaN is not a JSON number"),
        ("", "x.yaml: the file is empty"),
        ("[1]", "a specification must be a mapping (name: value), not a list"),
        ("[" * 100_000, "nested deeper than 50 levels"),
        ("[" * 60 + "]" * 60, "nested deeper than 50 levels"),
    ]:
        (problem,) = problems(text, kind="json")
        assert says in problem, (text[:20], problem)


def test_json_keys_that_yaml_could_not_hold() -> None:
    (problem,) = problems(json.dumps({"services": {"main": {"command": "x"}}, "k" * 2000: 1}), kind="json")
    assert problem.startswith("x.yaml: kkkk")
    assert "unknown key" in problem


def test_every_problem_at_once_in_the_order_of_the_file() -> None:
    text = """\
name: x
prioriti: 3
memory: 5
attempts: 0
services:
  train:
    command: python train.py
    memroy: 5
    variables: {A: true, KNIT_X: 1, 2B: x}
    depends_on: [db, dbb]
    queue: x
    gang: 5
    opportunistic: yes
    files: [a/x, b/x]
  Db: {command: x}
  db:
    command: x
    memory: lots
    command: y
    restart: alwayss
    readiness: {tcp: 1, report: yes}
    depends_on:
      train: started
  third: 5
completion: [trian, db]
"""
    assert problems(text) == [
        "x.yaml:2: prioriti: unknown key; did you mean 'priority'?",
        "x.yaml:3: memory: unknown key; it belongs to a service: services.<name>.memory",
        "x.yaml:4: attempts: should be greater than or equal to 1, not 0",
        "x.yaml:8: services.train.memroy: unknown key; did you mean 'memory'?",
        "x.yaml:9: services.train.variables.A: the variable A must be a text, not bool (in quotes: 'true')",
        "x.yaml:9: services.train.variables.KNIT_X: KNIT_X: names that begin with KNIT_ are reserved for Knit",
        "x.yaml:9: services.train.variables.2B: '2B' is not a name of an environment variable",
        "x.yaml:10: services.train.depends_on.dbb: train depends on 'dbb', which is no service; did you mean 'db'?",
        "x.yaml:10: services.train.depends_on.db: services wait for one another in a circle: train -> db -> train",
        "x.yaml:11: services.train.queue: unknown key; it belongs to the application, not to a service: queue",
        "x.yaml:12: services.train.gang: opportunistic containers may wait for ever on their nodes: "
        "gang is not possible with them",
        "x.yaml:14: services.train.files: two files have the name 'x' in the container: set another `name` for one of them",
        "x.yaml:15: services.Db: 'Db' is not a service name: lower-case letters, digits and '-', letter first",
        "x.yaml:18: services.db.memory: memory is a number of MiB or a text such as '2 GiB', not 'lots'",
        "x.yaml:19: services.db.command: occurs twice (first in line 17)",
        "x.yaml:20: services.db.restart.policy: should be 'never', 'on-failure' or 'always', not 'alwayss'; "
        "did you mean 'always'?",
        "x.yaml:21: services.db.readiness: readiness must be one of http, tcp, command and report, not tcp and report",
        "x.yaml:24: services.third: should be a mapping of names to values, not a number",
        "x.yaml:25: completion.0: completion names 'trian', which is no service; did you mean 'train'?",
    ]


def test_several_circles_and_unknown_names() -> None:
    text = (
        "services:\n  a: {command: x, depends_on: b}\n  b: {command: x, depends_on: [a, nobody]}\n"
        "  c: {command: x, depends_on: c}\n  d: {command: x, depends_on: {a: succeeded}, memory: -1}\n"
    )
    assert problems(text) == [
        "x.yaml:2: services.a.depends_on.b: services wait for one another in a circle: a -> b -> a",
        "x.yaml:3: services.b.depends_on.nobody: b depends on 'nobody', which is no service; there are: a, b, c, d",
        "x.yaml:4: services.c.depends_on.c: services wait for one another in a circle: c -> c",
        "x.yaml:5: services.d.memory: memory must be positive, not -1",
    ]


def test_a_success_that_cannot_come() -> None:
    text = "services:\n  a: {command: x, restart: always}\n  b: {command: x, depends_on: {a: succeeded}}\n"
    assert problems(text + "completion: [a]\n") == [
        "x.yaml:3: services.b.depends_on.a: b waits for the success of a, which is restarted always",
        "x.yaml:4: completion.0: completion names a, which is restarted always and so never succeeds",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "x.yaml: the file is empty"),
        ("# only a comment\n", "x.yaml: the file is empty"),
        ("---\n...\n", "x.yaml: the file is empty"),
        ("just text", "x.yaml: a specification must be a mapping (name: value), not a text"),
        ("- a\n- b", "x.yaml: a specification must be a mapping (name: value), not a list"),
        (SMALL + "---\nname: x\n", "x.yaml:4: a second document begins here; a file must have one specification"),
        ("a: b: c", "x.yaml:1: not YAML: mapping values are not allowed in this context (column 5)"),
        ("a:\n\t- b", "that cannot start any token (column 1): YAML is indented with spaces"),
        ("a: [1, 2", "not YAML: "),
        ("a: 'b", "not YAML: found unexpected end of stream"),
        ("a: \x01b", "x.yaml:1: not YAML: "),
        ("a: !!python/object/apply:os.system ['id']", "x.yaml:1: the YAML tag 'tag:yaml.org,2002:python/object/apply:os.system' "
                                                      "is not supported: write a plain value"),
        ("name: !secret x", "x.yaml:1: the YAML tag '!secret' is not supported"),
        ("a: &a [*a]", "x.yaml:1: *a is inside of the value that it refers to"),
        ("a: *b", "x.yaml:1: *b is undefined: there is no &b before it"),
        ("? [a, b]\n: c", "x.yaml:1: a key must be a plain word, not a list or a mapping"),
        ("services:\n  main:\n    <<: 5\n    command: x", "x.yaml:3: << requires a mapping, or a list of mappings"),
        ("[" * 100_000, "nested deeper than 50 levels"),
        ("a: " + "{b: " * 60 + "}" * 60, "nested deeper than 50 levels"),
    ],
)  # fmt: skip
def test_what_is_no_specification(text: str, says: str) -> None:
    (problem,) = problems(text)
    assert says in problem


def test_bytes_that_are_no_utf8() -> None:
    assert problems(b"name: x\nservices: \xff\xfe") == ["x.yaml:2: not UTF-8: the byte 0xff (save the file as UTF-8)"]
    assert problems(SMALL.encode("utf-16"))[0].startswith("x.yaml:1: not UTF-8")
    assert loads(b"\xef\xbb\xbf" + SMALL.encode()).services["main"].command == "true"


def test_aliases_cannot_blow_up_the_memory() -> None:
    laughs = "a0: &a0 [lol, lol, lol]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    (problem,) = problems(laughs)
    assert "with expanded aliases it has more than 500000 values" in problem
    (problem,) = problems("t: &t " + "x" * 1_000_000 + "\nl: [" + "*t, " * 100 + "]\n")
    assert "or 40 MB" in problem
    (problem,) = problems("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 200)))
    assert "nested deeper than 50 levels" in problem


def test_aliases_and_merge_keys() -> None:
    text = """\
x-small: &small {memory: 512 MiB, vcores: 2, restart: always}
x-names: &names [a, b]
services:
  a: {<<: *small, command: x, vcores: 3}
  b:
    command: y
    <<: [{vcores: 7}, *small]
"""
    services = loads(text).services
    assert [(s.memory, s.vcores) for s in services.values()] == [(512, 3), (512, 7)]
    found = problems(text.replace("memory: 512 MiB", "memroy: 5"))
    assert found == [
        "x.yaml:1: services.a.memroy: unknown key; did you mean 'memory'?",
        "x.yaml:1: services.b.memroy: unknown key; did you mean 'memory'?",
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, says in [
        (tmp_path / "none.yaml", "does not exist (looked for "),
        (tmp_path, "is a folder, not a specification"),
        (tmp_path / "a" / "b", "does not exist"),
        (tmp_path / ("x" * 300), "cannot be read: File name too long"),
    ]:
        with pytest.raises(SpecError, match=says.replace("(", r"\(")):
            load(path)
    with pytest.raises(SpecError, match="cannot be read"):
        load("a\0b")


@pytest.mark.long
def test_five_megabytes_work(tmp_path: Path) -> None:
    block = "".join(f"      V{number}: {'x' * 60}\n" for number in range(70))
    text = "services:\n" + "".join(
        f"  s{number}:\n    command: echo {number}\n    variables:\n{block}" for number in range(1000)
    )
    assert len(text) > 5_000_000
    (tmp_path / "large.yaml").write_text(text)
    began = time.monotonic()
    assert len(load(tmp_path / "large.yaml").services) == 1000
    wrong = text.replace("echo 999", "echo 999\n    memroy: 1").replace("V69", "KNIT_A")
    found = problems(wrong)
    assert (len(found), found[-1]) == (101, "and 901 more problems")
    assert time.monotonic() - began < 60


@pytest.mark.long
def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with (tmp_path / "huge.yaml").open("wb") as stream:
        stream.truncate(1 << 40)  # sparse: only what is looked at is read
    with pytest.raises(SpecError, match="larger than 10 MiB, the maximum for a specification"):
        load(tmp_path / "huge.yaml")
    with pytest.raises(SpecError, match="larger than 10 MiB"):
        load("/dev/zero")
    assert "larger than 10 MiB" in problems("#" * (MOST_BYTES + 1))[0]
    assert "more than 500000 values" in problems("a: [" + "1, " * 600_000 + "]")[0]
    assert "more than 500000 values" in problems("[" + "1, " * 600_000 + "1]", kind="json")[0]


def test_numbers_of_any_size() -> None:
    found = problems(
        "services:\n  main:\n    command: x\n    instances: " + "9" * 5000 + "\n    vcores: -99999999999999999999\n"
        "    memory: 1e400\n    gpus: true\n    resources: {a: 1.5}\n    gang: .nan\n    success_codes: [256]\n"
    )
    assert [problem.split(": ")[1] for problem in found] == [
        *("services.main.instances", "services.main.vcores", "services.main.memory", "services.main.gpus"),
        *("services.main.resources.a", "services.main.gang", "services.main.success_codes.0"),
    ]
    assert all(len(problem) < 300 for problem in found)
    assert "should be a whole number, not true" in found[3]


def test_overrides() -> None:
    changes = {
        "queue": "science",
        "services.main.instances": 3,
        "services.main.resources.yarn.io/gpu": 1,
        "services.main.files.0": "b.txt",
        "services.main.readiness.tcp": 5000,
        "services.more": {"command": "y"},
    }
    text = SMALL + "    files: [a.txt]\n"
    spec = loads(text, overrides=changes)
    main = spec.services["main"]
    assert (spec.queue, main.instances, main.resources) == ("science", 3, {"yarn.io/gpu": 1})
    assert main.readiness is not None
    assert (main.files[0].source, main.readiness.tcp, spec.services["more"].command) == ("b.txt", 5000, "y")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"services.main.instances": -1}, "services.main.instances: should be greater than or equal to 0, not -1"),
        ({"services.main.instnces": 1}, "services.main.instnces: unknown key; did you mean 'instances'?"),
        ({"services.mian.instances": 2}, "services.mian.instances: there is no service 'mian'; did you mean 'main'?"),
        ({"services.main.files.7": "x"}, "services.main.files.7: there is no element '7'; the list has 1"),
        ({"services.main.command.x": 1}, "services.main.command.x: services.main.command has no fields"),
        ({"services..x": 1}, "'services..x' is not a place in a specification, such as services.train.instances"),
    ],
)
def test_overrides_that_are_wrong(changes: dict[str, Any], says: str) -> None:
    assert problems(SMALL + "    files: [a.txt]\n", overrides=changes) == [f"given by the caller: {says}"]


def test_what_is_written_reads_back() -> None:
    spec = loads(
        SMALL.replace("'true'", "|\n      for i in 1 2; do\n        echo $i\n      done\n")
        + "    variables: {A: 'yes', B: '1e3', C: '0o17', D: '$${param.x}', E: ''}\n    docker: a/b:1\n"
    )
    for kind in ("yaml", "json"):
        assert loads(dumps(spec, kind), kind=kind) == spec  # type: ignore[arg-type]
    assert "command: |\n      for i in 1 2; do\n" in dumps(spec)
    assert spec.services["main"].variables["D"] == "${param.x}"
