"""The JSON schema: in step with the models, taking what the loader takes, refusing what is plainly wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from knit_core.errors import SpecError
from knit_core.spec import ApplicationSpec, Service, application_spec
from knit_core.spec.schema import attribute_texts, schema_text, spec_schema

ROOT = Path(__file__).resolve().parents[2]
VALIDATOR = jsonschema.Draft202012Validator(spec_schema())


def whole(**service: Any) -> dict[str, Any]:
    return {"services": {"main": {"command": "x", **service}}}


def test_the_stored_schema_is_of_these_models() -> None:
    stored = (ROOT / "docs" / "knit-spec.schema.json").read_text(encoding="utf-8")
    assert stored == schema_text(), "write it anew: knit spec schema > docs/knit-spec.schema.json"


def test_it_is_a_schema_itself() -> None:
    jsonschema.Draft202012Validator.check_schema(spec_schema())


def test_every_field_has_its_docstring_as_description() -> None:
    schema = spec_schema()
    about, texts = attribute_texts(Service)
    assert about == "A number of equal instances of one command."
    assert set(texts) == set(Service.model_fields)
    service = schema["$defs"]["Service"]["anyOf"][0]
    assert {name: row["description"] for name, row in service["properties"].items()} == texts
    assert schema["properties"]["lifetime"]["description"].startswith("seconds after which the application is ended")
    assert set(schema["properties"]) == {*ApplicationSpec.model_fields, "parameters", "$schema"}


@pytest.mark.parametrize(
    "service",
    [
        {"command": ["a", 1, True]},
        {"instances": "4", "memory": "2 GiB", "vcores": "${param.n}"},
        {"memory": 512.5, "gang": "5 min", "stop_grace": 0.5},
        {"files": ["a", {"source": "b", "name": "c", "type": "ARCHIVE"}]},
        {"files": {"a": "b"}},
        {"files": "${param.files}"},
        {"environment": "env.zip", "docker": "a:b", "restart": "on-failure"},
        {"environment": {"archive": "/x", "kind": "path"}},
        {"docker": {"image": "x", "mounts": ["/a:/b", {"source": "/a", "target": "/b"}]}},
        {"restart": {"policy": "always", "limit": None, "window": "1 h"}},
        {"depends_on": "a"}, {"depends_on": ["a"]}, {"depends_on": {"a": "succeeded"}},
        {"readiness": {"http": {"port": 80}}}, {"readiness": "${param.check}"},
        {"nodes": "n1", "racks": ["/r"], "relax_locality": "yes", "success_codes": 0, "fatal_codes": [1, "2"]},
        {"variables": {"A": 1, "B": 1.5, "C": "x"}},
        {"docker": None, "environment": None, "readiness": None},
    ],
)  # fmt: skip
def test_what_it_takes(service: dict[str, Any]) -> None:
    VALIDATOR.validate(whole(**service))


@pytest.mark.parametrize(
    "service",
    [
        {"memroy": 1},
        {"instances": -1}, {"instances": 1.5}, {"instances": "many"}, {"instances": True}, {"instances": 100_001},
        {"memory": 0}, {"memory": "lots"}, {"memory": "2 parsecs"}, {"memory": None},
        {"vcores": 0}, {"gpus": [1]}, {"resources": {"a b": 1}}, {"resources": {"a": -1}},
        {"variables": {"1A": "x"}}, {"variables": {"A": True}}, {"variables": {"KNIT_APP_ID": "x"}}, {"variables": ["A=b"]},
        {"files": "a,b"}, {"files": [{"name": "x"}]}, {"files": [{"source": "x", "nmae": "y"}]},
        {"restart": "sometimes"}, {"restart": {"policy": "sometimes"}}, {"restart": {"limit": -1}},
        {"depends_on": {"a": "done"}}, {"depends_on": 5},
        {"readiness": {"tcp": 70000}}, {"readiness": 5}, {"docker": {}}, {"docker": {"image": "x", "mounts": ["a"]}},
        {"success_codes": [256]}, {"gang": "soon"}, {"required": "perhaps"},
        {"command": 5}, {"command": []},
    ],
)  # fmt: skip
def test_what_it_does_not_take(service: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(whole(**service))
    with pytest.raises(SpecError):
        application_spec(whole(**service))


@pytest.mark.parametrize(
    "fields",
    [
        {"queu": "x"}, {"services": {}}, {"services": []}, {"services": {"Main": {"command": "x"}}},
        {"priority": -1}, {"tags": "a"}, {"acls": {"veiw": "x"}}, {"logs": {"include": 5}}, {"lifetime": "soon"},
        {"master_label": "a b"}, {"name": ""}, {"attempts": 0},
    ],
)  # fmt: skip
def test_what_it_does_not_take_of_an_application(fields: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({**whole(), **fields})
    with pytest.raises(SpecError):
        application_spec({**whole(), **fields})


def test_a_service_without_a_command() -> None:
    assert not VALIDATOR.is_valid({"services": {"main": {}}})


@pytest.mark.parametrize(
    ("block", "right"),
    [
        ({"a": 1, "b": None, "c": [1], "d": {"default": {"x": 1}, "type": "mapping", "description": "y"}}, True),
        (None, True),
        ({"a": {"defualt": 1}}, False),
        ({"a": {"type": "int"}}, False),
        ({"a b": 1}, False),
        ([1], False),
    ],
)
def test_parameters(block: Any, right: bool) -> None:
    assert VALIDATOR.is_valid({"parameters": block, "x-y": 5, "$schema": "x", **whole()}) is right


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md")))
def test_the_examples_of_the_manual(page: str) -> None:
    for source in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL):
        data = yaml.safe_load(source)
        if isinstance(data, dict) and "services" in data:
            VALIDATOR.validate(data)


@pytest.mark.parametrize("model", [ApplicationSpec, Service])
def test_the_manual_names_every_field(model: type[ApplicationSpec | Service]) -> None:
    page = (Path(__file__).parents[2] / "docs/specs.md").read_text()
    assert [name for name in model.model_fields if f"`{name}`" not in page] == []
