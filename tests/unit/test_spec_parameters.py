"""Parameters: declared with or without a default, typed, put where they are named; never interpreted by a shell."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from knit_core.errors import SpecError
from knit_core.spec import ApplicationSpec
from knit_core.spec.documents import loads

TEXT = """\
parameters:
  workers: 4
  day:
  version: 1.10
  debug: false
  memory: {default: 2 GiB, description: for each}
  hosts: {default: [n1, n2]}
  extra: {type: mapping, default: {A: b}}
  queue: {default: null}
name: export-${param.day}
queue: ${param.queue}
services:
  main:
    command: run --day ${param.day} --python ${param.version} $HOME ${HOME} $$ $${param.day} ${param-x}
    instances: ${param.workers}
    memory: ${param.memory}
    nodes: ${param.hosts}
    relax_locality: ${param.debug}
    variables: {DAY: "${param.day}", V: "v${param.version}", W: "${param.workers}", D: "${param.debug}?"}
"""


def load(parameters: dict[str, Any] | None = None, text: str = TEXT) -> ApplicationSpec:
    return loads(text, parameters, origin="x.yaml")


def problems(parameters: dict[str, Any] | None = None, text: str = TEXT) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(parameters, text)
    return caught.value.problems


def small(value: str, parameters: str = "p: 1") -> str:
    return f"parameters: {{{parameters}}}\nservices:\n  main:\n    command: x\n{value}\n"


def test_defaults_and_given_values() -> None:
    spec = load({"day": "2026-11-23"})
    main = spec.services["main"]
    assert (spec.name, spec.queue, main.instances, main.memory) == ("export-2026-11-23", None, 4, 2048)
    assert main.nodes == ("n1", "n2")
    assert main.relax_locality is False
    assert main.command == "run --day 2026-11-23 --python 1.10 $HOME ${HOME} $$ ${param.day} ${param-x}"
    assert main.variables == {"DAY": "2026-11-23", "V": "v1.10", "W": "4", "D": "false?"}
    given = {"day": "d", "workers": "8", "version": 3, "debug": "yes", "memory": 512, "hosts": "[n3]", "queue": "q"}
    spec = load(given)
    main = spec.services["main"]
    assert (spec.queue, main.instances, main.memory, main.nodes) == ("q", 8, 512, ("n3",))
    assert (main.relax_locality, main.variables["V"], main.variables["D"]) == (True, "v3", "true?")
    assert load({"day": "d", "workers": None}).services["main"].instances == 4


def test_missing_unknown_and_wrong_ones_are_named_together() -> None:
    assert problems({"worker": 8, "version": "new", "debug": 7, "hosts": "n1", "memory": [1]}) == [
        "x.yaml:1: a value was given for the parameter 'worker': did you mean 'workers'?",
        "x.yaml:3: the parameter day has no default: give it a value",
        "x.yaml:4: the parameter version must be a number, not 'new'",
        "x.yaml:5: the parameter debug must be true or false, not 7",
        "x.yaml:6: the parameter memory must be a text, not [1]",
        "x.yaml:7: the parameter hosts must be a list, as in '[a, b]', not 'n1'",
    ]


def test_a_value_for_a_file_without_parameters() -> None:
    text = "services: {main: {command: x}}"
    assert problems({"a": 1}, text) == ["x.yaml:1: a value was given for the parameter 'a': the file declares none"]
    assert problems({}, f"parameters: [a]\n{text}")[0].endswith("parameters: should be a mapping of names to defaults")


@pytest.mark.parametrize(
    ("declaration", "says"),
    [
        ("a b: 1", "a parameter's name has letters, digits, '-' and '_', no digit first"),
        ("p: {defualt: 1}", "defualt: unknown key; did you mean 'default'?"),
        ("p: {A: 1, B: 2}", "write a default that is a mapping under `default`"),
        ("p: {default: 1, type: int}", "the type 'int' is none of string, integer, number, boolean, list, mapping"),
        ("p: {default: x, type: integer}", "its default should be a whole number, not 'x'"),
        ("p: {default: 'a ${param.q}', type: string}", "a default cannot refer to another parameter"),
        ("p: {type: [a]}", "type must be a text"),
        ("p: 1, p: 2", "occurs twice"),
    ],
)
def test_declarations_that_are_wrong(declaration: str, says: str) -> None:
    (problem,) = problems({}, small("", declaration))
    assert problem.startswith("x.yaml:1: ")
    assert says in problem


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('    memory: "${param.q}"', "x.yaml:5: services.main.memory: there is no parameter 'q': there are: p"),
        ('    variables: {A: "x${param.q}y"}', "services.main.variables.A: there is no parameter 'q'"),
        ('    variables: {A: "${param.p"}', "'${param.p' is not closed; for a plain text write $${param.…"),
        ('    variables: {"${param.p}": x}', "parameters can replace values, not keys"),
        ('    variables: {A: "${param.}"}', "there is no parameter ''"),
    ],
)
def test_references_that_are_wrong(line: str, says: str) -> None:
    (problem,) = problems({}, small(line))
    assert says in problem


def test_a_list_stands_only_alone() -> None:
    text = small('    variables: {A: "x ${param.p}"}', "p: {default: [1]}")
    assert problems({}, text) == [
        "x.yaml:5: services.main.variables.A: the parameter p is not a text: it cannot be inserted into a longer text"
    ]


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("x ${param.p}", "x 1"),
        ("$${param.p}", "${param.p}"),
        ("a $$${param.p} b", "a $${param.p} b"),
        ("$${param.", "${param."),
        *((text, text) for text in ("$", "$$", "${", "${}", "{param.p}", "${param", "${param}", "$param.p", "${p}")),
    ],
)
def test_dollar_signs(written: str, means: str) -> None:
    assert load({}, small(f"    variables: {{A: '{written}'}}")).services["main"].variables["A"] == means


HOSTILE = [
    "; touch oops",
    "$(touch oops)",
    "`touch oops`",
    "a && b",
    "a | b",
    "> oops",
    "*",
    "it's",
    '"',
    "\\",
    "a\nb",
    "# a",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_never_bashs_to_interpret(value: str) -> None:
    """Inside a command text it is refused; as a word of a list, a variable, or the whole command it is what it is."""
    text = 'parameters: {p: }\nservices:\n  main:\n    command: echo "${param.p}" x\n'
    (problem,) = problems({"p": value}, text.replace('"${param.p}" x', "${param.p} x"))
    assert problem.startswith("x.yaml:4: services.main.command: the parameter p has special characters of bash")
    words = load({"p": value}, text.replace('echo "${param.p}" x', '[printf, "%s", "${param.p}"]')).services["main"]
    bash = shutil.which("bash")
    assert bash is not None
    ran = subprocess.run([bash, "-c", words.command], capture_output=True, text=True, check=True, timeout=20)
    assert ran.stdout == value
    whole = load({"p": value}, text.replace('echo "${param.p}" x', "${param.p}")).services["main"]
    assert whole.command == value
    ready = text.replace('echo "${param.p}" x', "x\n    readiness: {command: 'test -e ${param.p}'}")
    assert "special characters of bash" in problems({"p": value}, ready)[0]


def test_plain_values_may_stand_in_a_command() -> None:
    text = 'parameters: {p: }\nservices: {main: {command: "run ${param.p} x"}}\n'
    for value in ("2026-11-23", "--a --b=c", "/data/x_y.csv", "déjà", "a@b:c%d+e,f^g", 5, 1.5):
        assert load({"p": value}, text).services["main"].command == f"run {value} x"


def test_json_has_parameters_too() -> None:
    text = '{"parameters": {"n": 2, "v": 1.10}, "services": {"main": {"command": "x ${param.v}", "instances": "${param.n}"}}}'
    spec = loads(text, {"n": 5}, kind="json")
    assert (spec.services["main"].command, spec.instances) == ("x 1.10", 5)
