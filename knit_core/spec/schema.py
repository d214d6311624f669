"""The JSON schema of specification files, generated from the models, for editors and other programs.

It accepts everything that `documents.load` accepts: also short forms (`memory: 2 GiB`, `restart: always`), texts in place of
numbers, and references to parameters in place of any value. It does not detect what a schema cannot express (cyclic
dependencies, contradictions). Descriptions are the models' docstrings.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from knit_core.model.units import mebibytes, seconds
from knit_core.spec.application import ApplicationSpec
from knit_core.spec.base import MAX_INT
from knit_core.spec.files import EnvironmentRef, File
from knit_core.spec.parameters import TYPES
from knit_core.spec.policies import Acls, Docker, HttpProbe, LogPatterns, Mount, Readiness, Restart, RestartPolicy
from knit_core.spec.service import Service

Schema = dict[str, Any]
_MODELS: tuple[type[BaseModel], ...] = (
    *(ApplicationSpec, Service, File, EnvironmentRef, Docker, Mount, Readiness, HttpProbe, Restart, Acls, LogPatterns),
)
_REFERENCE = r"\$\{param\."


def _any_case(words: str) -> str:
    return re.sub(r"[a-z]", lambda found: f"[{found[0]}{found[0].upper()}]", words)


_NUMBER = r"[0-9]+(\.[0-9]+)?"
_TEXTS: Mapping[str, tuple[str, str]] = {
    "Reference": (_REFERENCE, "A text with the value of a parameter: ${param.name}"),
    "WholeText": (rf"^\s*[-+]?[0-9_]+(\.0*)?\s*$|{_REFERENCE}", "A whole number as a text"),
    "TruthText": (
        rf"^({_any_case('true|false|yes|no|on|off|t|f|y|n')}|0|1)$|{_REFERENCE}",
        "true or false as a text",
    ),
    "MemoryText": (
        rf"^\s*{_NUMBER}\s*{_any_case('(k|m|g|t)?(i?b)?')}\s*$|{_REFERENCE}",
        "An amount of memory: '512 MiB', '2 GiB'",
    ),
    "SpanText": (
        rf"^\s*({_NUMBER}\s*({_any_case('ms|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?')})?\s*)+$|{_REFERENCE}",
        "A time span: '30 s', '5 min', '1h30m'",
    ),
}


def spec_schema() -> Schema:
    """The schema, as JSON data (draft 2020-12)."""
    made = ApplicationSpec.model_json_schema()
    raw = {**made.pop("$defs"), "ApplicationSpec": made}
    defs: Schema = {name: {"type": "string", "pattern": p, "description": d} for name, (p, d) in _TEXTS.items()}
    for model in _MODELS:
        defs[model.__name__] = _model(model, raw)
    top = defs.pop("ApplicationSpec")
    top["properties"] = {"$schema": {"type": "string"}, "parameters": _parameters(), **top["properties"]}
    top["patternProperties"] = {"^x-": {"description": "Ignored; for YAML's anchors."}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Knit application specification",
        **top,
        "$defs": dict(sorted(defs.items())),
    }


def schema_text() -> str:
    """The text of the schema file."""
    return json.dumps(spec_schema(), indent=1, ensure_ascii=False) + "\n"


def attribute_texts(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """The description in a docstring, and the descriptions of its `Attributes:` by name."""
    about, _, rest = inspect.cleandoc(model.__doc__ or "").partition("\nAttributes:\n")
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in rest.split("\n"):
        if line and not line.startswith("    "):
            break
        start = re.match(r"    ([a-z0-9_]+(?:, [a-z0-9_]+)*): (.*)", line)
        if start:
            names = start[1].split(", ")
            texts.update(dict.fromkeys(names, start[2]))
        elif line.strip():
            for name in names:
                texts[name] += " " + line.strip()
    return " ".join(about.split()), texts


def _model(model: type[BaseModel], raw: Mapping[str, Schema]) -> Schema:
    about, texts = attribute_texts(model)
    properties = {}
    for name, field in model.model_fields.items():
        found = raw[model.__name__]["properties"][name]
        schema = _value(model, name, field, found, raw)
        default = {"default": found["default"]} if found.get("default") not in (None, [], {}, "") else {}
        properties[name] = {"description": texts[name], **default, **schema}
    whole: Schema = {
        "type": "object",
        "description": about,
        "properties": properties,
        "additionalProperties": False,
    }
    required = raw[model.__name__].get("required")
    if required:
        whole["required"] = required
    if model is ApplicationSpec:
        return whole
    return {"anyOf": [whole, *_SHORT.get(model, []), _ref("Reference")]}


def _value(model: type[BaseModel], name: str, field: FieldInfo, found: Schema, raw: Mapping[str, Schema]) -> Schema:
    if _reads(field, mebibytes):
        none: list[Schema] = [{"type": "null"}] if type(None) in get_args(field.annotation) else []
        number: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_INT}
        schema: Schema = {"anyOf": [number, _ref("MemoryText"), *none]}
    elif _reads(field, seconds):
        schema = {"anyOf": [_limits({"type": "number"}, found), _ref("SpanText")]}
    else:
        schema = _plain(found, raw)
    special = _FIELDS.get((model, name))
    return special(schema) if special else schema


def _reads(field: FieldInfo, function: Callable[..., Any]) -> bool:
    optional = (each for part in get_args(field.annotation) for each in getattr(part, "__metadata__", ()))
    return any(isinstance(each, BeforeValidator) and each.func is function for each in (*field.metadata, *optional))


def _plain(found: Schema, raw: Mapping[str, Schema]) -> Schema:
    """pydantic's schema of one value, extended by the other accepted forms."""
    if "$ref" in found:
        name = found["$ref"].rpartition("/")[2]
        return _ref(name) if "properties" in raw[name] else _or({"enum": raw[name]["enum"]}, "Reference")
    if "anyOf" in found:
        return _or(*(part for each in found["anyOf"] for part in _parts(_plain(each, raw))))
    kind = found.get("type")
    if kind == "integer":
        return _or(_limits({"type": "integer"}, found), "WholeText")
    if kind == "boolean":
        return _or({"type": "boolean"}, "TruthText")
    if kind == "array":
        return _or({"type": "array", "items": _plain(found["items"], raw)}, "Reference")
    if kind == "object":
        schema = {"type": "object", "additionalProperties": _plain(found["additionalProperties"], raw)}
        return _or(schema | {key: found[key] for key in ("minProperties",) if key in found}, "Reference")
    if kind == "string":
        limits: Schema = {key: found[key] for key in ("pattern", "minLength", "maxLength") if key in found}
        return _or({"type": "string", **limits}, "Reference") if limits else {"type": "string"}
    return {"type": kind}


def _limits(schema: Schema, found: Schema) -> Schema:
    for key, words in (("minimum", ("minimum", "ge")), ("maximum", ("maximum", "le"))):
        for word in words:
            if word in found:
                schema[key] = found[word]
    return schema


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _parts(schema: Schema) -> list[Schema]:
    found: list[Schema] = schema["anyOf"] if set(schema) == {"anyOf"} else [schema]
    return found


def _or(*parts: Schema | str) -> Schema:
    rows: list[Schema] = []
    for part in parts:
        schema = _ref(part) if isinstance(part, str) else part
        if schema not in rows:
            rows.append(schema)
    return {"anyOf": rows}


def _with(*more: Schema) -> Callable[[Schema], Schema]:
    return lambda schema: _or(*_parts(schema), *more)


def _named(pattern: str, value: Schema | None = None) -> Callable[[Schema], Schema]:
    """For mappings: the pattern of their keys, and optionally the schema of their values."""

    def change(schema: Schema) -> Schema:
        for part in _parts(schema):
            if part.get("type") == "object":
                part["propertyNames"] = {"pattern": pattern}
                part["additionalProperties"] = value or part["additionalProperties"]
        return schema

    return change


_TEXT: Schema = {"type": "string"}
_WORD: Schema = {"type": ["string", "number", "boolean"]}
_LIST: Schema = {"type": "array", "items": _TEXT}
_SHORT: Mapping[type[BaseModel], list[Schema]] = {
    File: [_TEXT],
    EnvironmentRef: [_TEXT],
    Docker: [_TEXT],
    Mount: [{"type": "string", "pattern": "^/[^:]*:/[^:]*(:(ro|rw))?$"}],
    Restart: [{"enum": [policy.value for policy in RestartPolicy]}],
}
_FIELDS: Mapping[tuple[type[BaseModel], str], Callable[[Schema], Schema]] = {
    (ApplicationSpec, "services"): _named("^[a-z][a-z0-9-]{0,62}$"),
    (Service, "command"): _with({"type": "array", "items": _WORD, "minItems": 1}),
    (Service, "resources"): _named("^[A-Za-z0-9._/-]{1,100}$"),
    (Service, "variables"): _named("^(?!KNIT_(?!LANG$))[A-Za-z_][A-Za-z0-9_]*$", {"type": ["string", "number"]}),
    (Service, "files"): _with({"type": "object", "additionalProperties": _TEXT}),
    (Service, "nodes"): _with(_TEXT),
    (Service, "racks"): _with(_TEXT),
    (Service, "success_codes"): _with({"type": "integer", "minimum": 0, "maximum": 255}, _ref("WholeText")),
    (Service, "fatal_codes"): _with({"type": "integer", "minimum": 0, "maximum": 255}, _ref("WholeText")),
    (Service, "depends_on"): _with(_TEXT, _LIST),
    (Acls, "view"): _with(_LIST),
    (Acls, "modify"): _with(_LIST),
}


def _parameters() -> Schema:
    name = "^[A-Za-z_][A-Za-z0-9_-]*$"
    declaration: Schema = {
        "type": "object",
        "properties": {
            "default": {"description": "the value if none is passed; without a default a value is required"},
            "description": {"type": "string", "description": "documentation"},
            "type": {
                "enum": list(TYPES),
                "description": "the type of its value; by default that of `default`, else string",
            },
        },
        "additionalProperties": False,
    }
    plain: Schema = {
        "type": ["string", "number", "boolean", "array", "null"],
        "description": "its default; null for none",
    }
    return {
        "description": "Values that the specification refers to as ${param.name}, and that may be passed at the launch.",
        "type": ["object", "null"],
        "propertyNames": {"pattern": name},
        "additionalProperties": {"anyOf": [plain, declaration]},
    }


__all__ = ["attribute_texts", "schema_text", "spec_schema"]
