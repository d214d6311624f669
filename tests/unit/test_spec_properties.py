"""Properties of specifications: what is written reads back equal, the schema takes it, and nothing but SpecError comes of
whatever stands in a file."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knit_core.errors import SpecError
from knit_core.spec import ApplicationSpec, application_spec
from knit_core.spec.documents import dumps, loads
from knit_core.spec.parser import read_json, read_yaml
from knit_core.spec.schema import spec_schema

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
VALIDATOR = jsonschema.Draft202012Validator(spec_schema())

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20) | st.sampled_from(
    [
        "yes",
        "null",
        "~",
        "1.10",
        "0o17",
        "1e3",
        ".inf",
        "${param.x}",
        "$${param.x}",
        "a: b",
        "- a",
        "#x",
        "<<",
        "\x1b",
        "\x85",
    ]
)
words = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
commands = texts.filter(lambda text: text.strip() and "{param." not in text)
memory = st.integers(1, 9999) | st.sampled_from(["512", "1.5 GiB", "2g", "300MB", "1 tib"])
spans = st.integers(0, 3000) | st.sampled_from(["30", "5 min", "0.5 h", "1m 2s", "90 seconds", "10 ms"])
truth = st.booleans() | st.sampled_from(["yes", "off", "True", "0"])
codes = st.lists(st.integers(1, 100), max_size=3, unique=True) | st.integers(1, 100)
names = st.from_regex(r"[A-Za-z0-9._ $'\"-]{1,12}", fullmatch=True).filter(
    lambda name: name.strip(". ") and not name.startswith((".knit", "knit-")) and name != "environment"
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A mapping with some of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


restarts = st.sampled_from(["never", "on-failure", "always"]) | some(
    policy=st.sampled_from(["never", "on-failure", "always"]), limit=st.none() | st.integers(0, 9), window=spans
)
readiness = st.one_of(
    st.fixed_dictionaries({"tcp": st.integers(1, 65535)}, optional={"deadline": spans}),
    st.fixed_dictionaries({"http": st.fixed_dictionaries({"port": st.integers(1, 65535)})}),
    st.fixed_dictionaries({"command": commands}),
    st.fixed_dictionaries({"report": st.just(True)}, optional={"interval": st.integers(1, 9)}),
)
dockers = st.just("a/b:1") | st.fixed_dictionaries(
    {"image": st.just("x@y")},
    optional={"mounts": st.lists(st.sampled_from(["/a:/b", "/a:/b:rw"])), "privileged": truth},
)
files = st.lists(names, max_size=3, unique=True).flatmap(
    lambda found: st.sampled_from(
        [
            {name: "dir/source" for name in found},
            [f"dir/{name}" for name in found],
            [{"source": "x.zip", "name": name, "type": "FILE"} for name in found],
        ]
    )
)
services = st.fixed_dictionaries(
    {"command": commands | st.lists(texts, min_size=1, max_size=3).filter(any)},
    optional={
        "instances": st.integers(0, 50) | st.just("7"),
        "memory": memory,
        "vcores": st.integers(1, 9),
        "gpus": st.integers(0, 4),
        "resources": st.dictionaries(st.sampled_from(["a.b/c", "fpga"]), st.integers(0, 2**62)),
        "variables": st.dictionaries(
            st.from_regex(r"[A-Z]{1,6}", fullmatch=True), texts | st.integers() | st.floats(0, 9)
        ),
        "files": files,
        "environment": st.just("env.tar.gz") | st.just({"archive": "/opt/env", "kind": "path"}),
        "docker": dockers,
        "node_label": st.sampled_from(["", "ssd"]),
        "success_codes": st.just([0]) | st.just(0),
        "fatal_codes": codes,
        "restart": restarts,
        "readiness": readiness,
        "stop_grace": spans,
        "required": truth,
        "manages": truth,
        "opportunistic": truth,
    },
)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """A valid specification as plain data; dependencies only go back, so that there is no circle."""
    found = draw(st.dictionaries(words, services, min_size=1, max_size=3))
    order = list(found)
    for index, name in enumerate(order[1:], 1):
        before = draw(st.lists(st.sampled_from(order[:index]), unique=True))
        condition = st.sampled_from(["started", "ready"])
        found[name]["depends_on"] = draw(st.just(before) | st.just({other: draw(condition) for other in before}))
    return draw(
        st.fixed_dictionaries(
            {"services": st.just(found)},
            optional={
                "name": st.from_regex(r"[a-z ]{1,9}x", fullmatch=True),
                "queue": words,
                "priority": st.integers(0, 9),
                "tags": st.lists(words, max_size=3),
                "acls": some(view=st.lists(words, max_size=2) | st.just("*"), modify=st.just("a,b c")),
                "logs": some(include=texts, rolled_exclude=texts),
                "attempts": st.integers(1, 9),
                "attempt_window": spans,
                "lifetime": spans,
                "node_failures": st.integers(0, 9),
                "master_memory": memory,
            },
        )
    )


def as_yaml(data: Any) -> str:
    return yaml.safe_dump(data, allow_unicode=True)


@pytest.mark.long
@SETTINGS
@given(data=specs())
def test_the_complete_form_reads_back_equal(data: dict[str, Any]) -> None:
    spec = application_spec(data)
    assert loads(dumps(spec)) == spec
    assert loads(dumps(spec, "json"), kind="json") == spec
    assert application_spec(json.loads(spec.model_dump_json())) == spec


@pytest.mark.long
@SETTINGS
@given(data=specs())
def test_the_schema_takes_what_the_loader_takes(data: dict[str, Any]) -> None:
    """Short forms and complete ones."""
    spec = application_spec(data)
    VALIDATOR.validate(data)
    VALIDATOR.validate(json.loads(dumps(spec, "json")))


@pytest.mark.long
@SETTINGS
@given(data=specs(), indent=st.sampled_from([None, 2, "\t"]))
def test_yaml_and_json_say_the_same(data: dict[str, Any], indent: Any) -> None:
    """Texts that look like references are escaped; YAML writes its numbers and words by rules of its own."""
    escaped = json.loads(json.dumps(data).replace("{param.", "{parm."))
    expected = application_spec(escaped)
    for ascii_only in (True, False):
        assert loads(json.dumps(escaped, indent=indent, ensure_ascii=ascii_only), kind="json") == expected
        assert read_json(json.dumps(escaped, indent=indent, ensure_ascii=ascii_only)).values > 1


@pytest.mark.long
@SETTINGS
@given(data=specs(), field=st.sampled_from(["memroy", "comand", "zzz"]), number=st.integers(0, 2))
def test_an_unknown_key_is_found_by_both(data: dict[str, Any], field: str, number: int) -> None:
    name = list(data["services"])[number % len(data["services"])]
    data["services"][name][field] = 1
    with pytest.raises(SpecError) as caught:
        loads(json.dumps(data).replace("{param.", "{parm."), kind="json")
    assert [f"services.{name}.{field}: unknown key" in problem for problem in caught.value.problems] == [True]
    assert not VALIDATOR.is_valid(data)


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from(["2 GiB", "always", "ready", "${param.a}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts | st.sampled_from(sorted(ApplicationSpec.model_fields)), inner, max_size=4)
    ),
    max_leaves=12,
)


@SETTINGS
@given(
    data=st.dictionaries(st.sampled_from([*sorted(ApplicationSpec.model_fields), "parameters", "x-a", "$schema"]), junk)
)
def test_any_data_is_a_specification_or_a_spec_error(data: dict[str, Any]) -> None:
    for text, kind in ((as_yaml(data), "yaml"), (json.dumps(data), "json")):
        try:
            loads(text, {"a": "1"}, kind=kind)  # type: ignore[arg-type]
        except SpecError as error:
            assert error.problems
            assert all(problem.startswith("specification:") for problem in error.problems)


@SETTINGS
@given(
    service=st.dictionaries(st.sampled_from(["command", "memory", "files", "depends_on", "restart", "variables"]), junk)
)
def test_any_service_is_one_or_a_spec_error(service: dict[str, Any]) -> None:
    try:
        application_spec({"services": {"main": service}})
    except SpecError as error:
        assert error.problems


@SETTINGS
@given(content=st.binary(max_size=60) | st.text(max_size=60) | st.text("{}[]:,&*!|>'\"%@`- \n\t#?<abc0", max_size=40))
def test_any_bytes_are_a_specification_or_a_spec_error(content: str | bytes) -> None:
    for kind in ("yaml", "json"):
        with pytest.raises(SpecError):
            loads(content, kind=kind)  # type: ignore[arg-type]


@SETTINGS
@given(data=junk)
def test_plain_yaml_means_what_it_means_in_json(data: Any) -> None:
    """YAML's flow style with JSON's scalars: both readers find the same tree."""
    from knit_core.spec.parser import plain

    text = json.dumps(data)
    if "NaN" in text or "Infinity" in text or "\\ud" in text or text in {'""', "null"}:
        return
    try:
        assert repr(plain(read_yaml(text))) == repr(plain(read_json(text)))
    except Exception as error:
        assert "twice" in str(error) or "not YAML" in str(error)
