"""Parameters of a specification: `parameters:` declares them, `${param.name}` refers to their values.

- Declarations: `name: default`, or `name: {default: …, description: …, type: …}`; a parameter declared by `name:` alone has
  no default and requires a value.
- Types: string, integer, number, boolean, list, mapping. Without `type`: the type of the default, else string. Values may be
  passed as texts (`--param workers=8`), which are converted to that type.
- A text that is a single reference becomes the value with its type. In a longer text the value is inserted as written
  (`1.10` stays `1.10`); lists and mappings cannot be inserted.
- `$${param.name}` is the text `${param.name}`: of several dollar signs the first is removed.
- In a longer `command`, which bash interprets, a value with special characters of bash is refused. Pass it as a variable
  (`variables: {DAY: ${param.day}}`, then `"$DAY"`), or write the command as a list of words, which are quoted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from knit_core.spec.parser import Node, Unreadable, merged, plain, read_yaml
from knit_core.spec.problems import Found, Location, shorten, shorten_list

_REFERENCE = re.compile(r"(\$+)\{param\.([^{}\n]{0,100})(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_FOR_BASH = re.compile(r"""[\x00-\x08\x0a-\x1f\x7f$`"'\\;&|<>(){}*?\[\]~#!]""")
_KEYS = ("default", "description", "type")
_TRUTH = {**dict.fromkeys(("true", "yes", "on"), True), **dict.fromkeys(("false", "no", "off"), False)}


@dataclass(frozen=True)
class Value:
    """A parameter's value, and its text as written."""

    value: Any
    text: str


@dataclass(frozen=True)
class Parameter:
    """A declared parameter.

    Attributes:
        name: in `${param.name}`.
        type: one of TYPES.
        default: None if a value is required.
        description: documentation.
    """

    name: str
    type: str
    default: Value | None = None
    description: str = ""


def _string(given: Value) -> Value:
    if isinstance(given.value, (list, dict, bool)) or given.value is None:
        raise ValueError("a text")
    return Value(given.text, given.text)


def _integer(given: Value) -> Value:
    if isinstance(given.value, int) and not isinstance(given.value, bool):
        return given
    if isinstance(given.value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,400}\s*", given.value):
        return Value(int(given.value), given.text.strip())
    raise ValueError("a whole number")


def _number(given: Value) -> Value:
    if isinstance(given.value, (int, float)) and not isinstance(given.value, bool):
        return given
    try:
        return Value(float(given.value), given.text.strip())
    except (ValueError, TypeError):
        raise ValueError("a number") from None


def _boolean(given: Value) -> Value:
    found = given.value if isinstance(given.value, bool) else _TRUTH.get(str(given.value).strip().lower())
    if found is None:
        raise ValueError("true or false")
    return Value(found, str(found).lower())


def _of(kind: type, words: str) -> Callable[[Value], Value]:
    def read(given: Value) -> Value:
        found = given.value
        if isinstance(found, str):
            try:
                found = plain(read_yaml(found))
            except Unreadable:
                found = None
        if isinstance(found, tuple):
            found = list(found)
        if not isinstance(found, kind):
            raise ValueError(words)
        return Value(found, given.text)

    return read


TYPES: Mapping[str, Callable[[Value], Value]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "list": _of(list, "a list, as in '[a, b]'"),
    "mapping": _of(dict, "a mapping, as in '{a: 1}'"),
}


def parameter_values(
    block: Node | None, given: Mapping[str, Any]
) -> tuple[dict[str, Value], dict[str, Parameter], list[Found]]:
    """Values of all parameters: given ones, else defaults.

    Args:
        block: the file's value of `parameters`.
        given: values from the caller; None counts as not given.

    Returns:
        Values and declarations by name, and problems.
    """
    declared: dict[str, Parameter] = {}
    found: list[Found] = []
    if block is not None and block.kind != "mapping" and (block.kind == "list" or block.scalar() is not None):
        return {}, {}, [(("parameters",), "parameters: should be a mapping of names to defaults")]
    for pair in merged(block) if block else ():
        where: Location = ("parameters", pair.key)
        try:
            declared[pair.key] = _declaration(pair.key, pair.value)
        except ValueError as error:
            found.append((where, f"parameters.{shorten(pair.key, quote=False)}: {error}"))
    wrong = {location[1] for location, _text in found}
    values = {name: one.default for name, one in declared.items() if one.default is not None}
    for name, value in given.items():
        if name in declared and value is not None:
            try:
                values[name] = _typed(declared[name].type, _as_value(value))
            except ValueError as error:
                found.append((("parameters", name), f"the parameter {name} must be {error}, not {shorten(value)}"))
                wrong.add(name)
        elif name not in declared and name not in wrong:
            found.append(
                (("parameters",), f"a value was given for the parameter {shorten(name)}: {_known(name, declared)}")
            )
    for name in declared:
        if name not in values and name not in wrong:
            about = f" ({declared[name].description})" if declared[name].description else ""
            found.append((("parameters", name), f"the parameter {name}{about} has no default: give it a value"))
    return values, declared, found


def _declaration(name: str, node: Node) -> Parameter:
    if not _NAME.fullmatch(name):
        raise ValueError("a parameter's name has letters, digits, '-' and '_', no digit first")
    kind, default, description = "", node, ""
    if node.kind == "mapping":
        keys = {pair.key: pair.value for pair in merged(node)}
        for key in keys:
            if key not in _KEYS:
                near = difflib.get_close_matches(key[:100], _KEYS, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else "write a default that is a mapping under `default`"
                raise ValueError(f"{shorten(key, quote=False)}: unknown key; {hint}")
        kind = _text_of(keys.get("type"), "type")
        if kind and kind not in TYPES:
            near = difflib.get_close_matches(kind, TYPES, n=1)
            raise ValueError(
                f"the type {shorten(kind)} is none of {', '.join(TYPES)}"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
        description = _text_of(keys.get("description"), "description")
        if "default" not in keys:
            return Parameter(name, kind or "string", None, description)
        default = keys["default"]
    elif node.kind == "scalar" and node.scalar() is None:
        return Parameter(name, "string")
    value = Value(plain(default), default.text)
    if _refers(value.value):
        raise ValueError("a default cannot refer to another parameter")
    if value.value is None:  # `default: null`
        return Parameter(name, kind or "string", value, description)
    kind = kind or _kind_of(value.value)
    try:
        return Parameter(name, kind, _typed(kind, value), description)
    except ValueError as error:
        raise ValueError(f"its default should be {error}, not {shorten(value.value)}") from None


def _text_of(node: Node | None, key: str) -> str:
    if node is None:
        return ""
    if node.kind != "scalar":
        raise ValueError(f"{key} must be a text")
    return node.text


def _typed(kind: str, value: Value) -> Value:
    return TYPES[kind](value)


def _as_value(given: Any) -> Value:
    if isinstance(given, Mapping):
        given = dict(given)
    return Value(given, str(given))


def _kind_of(value: Any) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", list: "list", dict: "mapping"}
    return kinds.get(type(value), "string")


def _refers(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_refers(each) for each in (*value, *value.values()))
    if isinstance(value, list):
        return any(map(_refers, value))
    return isinstance(value, str) and any(len(found[1]) == 1 for found in _REFERENCE.finditer(value))


def _known(name: str, declared: Mapping[str, Parameter]) -> str:
    if not declared:
        return "the file declares none"
    near = difflib.get_close_matches(name[:100], declared, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {shorten_list(declared)}"


class Substitution:
    """Replaces references by values.

    Attributes:
        found: problems.
    """

    def __init__(self, values: Mapping[str, Value], declared: Mapping[str, Parameter]) -> None:
        self.values, self.declared = values, declared
        self.found: list[Found] = []

    def apply(self, data: Any, location: Location = ()) -> Any:
        """`data` with all references replaced."""
        if isinstance(data, dict):
            for key in data:
                if _refers(key):
                    self._wrong((*location, key), "parameters can replace values, not keys")
            return {key: self.apply(value, (*location, key)) for key, value in data.items()}
        if isinstance(data, list):
            return [self.apply(value, (*location, index)) for index, value in enumerate(data)]
        return self._text(data, location) if isinstance(data, str) and "{param." in data else data

    def _text(self, text: str, location: Location) -> Any:
        whole = _REFERENCE.fullmatch(text)
        if whole and len(whole[1]) == 1 and whole[3]:
            value = self._value(whole[2], location)
            return text if value is None else value.value
        return _REFERENCE.sub(lambda found: self._part(found, location), text)

    def _part(self, found: re.Match[str], location: Location) -> str:
        if len(found[1]) > 1:
            return found[0][1:]
        if not found[3]:
            self._wrong(location, f"{shorten(found[0])} is not closed; for a plain text write $${{param.…")
            return found[0]
        value = self._value(found[2], location)
        if value is None:
            return found[0]
        if isinstance(value.value, (list, dict)) or value.value is None:
            self._wrong(location, f"the parameter {found[2]} is not a text: it cannot be inserted into a longer text")
        elif location[-1:] == ("command",) and _FOR_BASH.search(value.text):
            self._wrong(
                location,
                f"the parameter {found[2]} has special characters of bash ({shorten(value.text)}): pass it as "
                f'a variable (variables: {{NAME: "${{param.{found[2]}}}"}}, then "$NAME"), or make the command a list of words',
            )
        return value.text

    def _value(self, name: str, location: Location) -> Value | None:
        if name not in self.declared:
            self._wrong(location, f"there is no parameter {shorten(name)}: {_known(name, self.declared)}")
        elif name not in self.values:
            self._wrong(location, "")  # its declaration has the problem
        return self.values.get(name)

    def _wrong(self, location: Location, text: str) -> None:
        where = shorten(".".join(map(str, location)), 200, quote=False)
        self.found.append((location, f"{where}: {text}" if text else ""))


def escape(text: str) -> str:
    """`text`, escaped so that it is unchanged when read as a value of a specification."""
    return _REFERENCE.sub(lambda found: f"${found[0]}", text)


__all__ = ["TYPES", "Parameter", "Substitution", "Value", "escape", "parameter_values"]
