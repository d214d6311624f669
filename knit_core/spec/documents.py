"""Specifications in files: YAML or JSON to an ApplicationSpec and back. Every problem has its file and line.

A file contains the fields of ApplicationSpec. Further keys:
- `parameters:` (see knit_core.spec.parameters),
- keys that begin with `x-`, which are ignored: for YAML's anchors (`x-small: &small {memory: 1 GiB}`, used as
  `<<: *small`),
- `$schema`, for editors.

Relative paths in `files` and `environment` are relative to the file's folder.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from knit_core.errors import SpecError
from knit_core.spec.application import ApplicationSpec
from knit_core.spec.parameters import Substitution, escape, parameter_values
from knit_core.spec.parser import MOST_BYTES, Node, Unreadable, line_of, merged, plain, read_json, read_yaml, resolve
from knit_core.spec.problems import MOST_SHOWN, Found, Location, inspect, sentences, shorten, shorten_list
from knit_core.spec.service import Service

_ODD = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_OWN_KEYS = frozenset({"parameters", "$schema"})
_FREE_KEYS = frozenset({"variables", "resources", "depends_on", "files"})  # of a service: keys may contain dots


def load(
    path: str | os.PathLike[str],
    parameters: Mapping[str, Any] | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
) -> ApplicationSpec:
    """Read a specification from a file: JSON with the suffix `.json`, otherwise YAML.

    Args:
        path: the file.
        parameters: values of the file's parameters; they replace its defaults.
        overrides: values by dotted place (`{"services.train.instances": 4}`); they replace values in the file.

    Raises:
        SpecError: it is not valid; the error has all problems with file and line.
    """
    place = Path(path)
    try:
        if place.is_dir():
            raise SpecError([f"{path}: is a folder, not a specification"])
        with place.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise SpecError([f"{path}: does not exist (looked for {place.absolute()})"]) from None
    except (OSError, ValueError) as error:
        raise SpecError([f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    kind: Literal["json", "yaml"] = "json" if place.suffix.lower() == ".json" else "yaml"
    return loads(content, parameters, overrides=overrides, kind=kind, folder=place.absolute().parent, origin=str(path))


def loads(
    content: str | bytes,
    parameters: Mapping[str, Any] | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    kind: Literal["yaml", "json"] = "yaml",
    folder: str | os.PathLike[str] | None = None,
    origin: str = "specification",
) -> ApplicationSpec:
    """Read a specification from a text.

    Args:
        content: the text, or its bytes in UTF-8.
        parameters, overrides: as for `load`.
        kind: "yaml" or "json".
        folder: base of relative paths; None to keep them.
        origin: prefix of each problem.

    Raises:
        SpecError: it is not valid; the error has all problems.
    """
    try:
        node = (read_json if kind == "json" else read_yaml)(_decoded(content))
        if node.kind != "mapping":
            raise Unreadable(
                "a specification must be a mapping (name: value), not "
                + ("a list" if node.kind == "list" else "a text")
            )
        document = _Document(node, overrides or {})
        spec, found = document.build(parameters or {})
    except Unreadable as error:
        raise SpecError([f"{origin}:{error.line}: {error}" if error.line else f"{origin}: {error}"]) from None
    if spec is None:
        raise SpecError(sentences(found, lambda location: document.place(origin, location)))
    return spec if folder is None else resolved(spec, folder)


def _decoded(content: str | bytes) -> str:
    if len(content) > MOST_BYTES:
        raise Unreadable(
            f"larger than {MOST_BYTES >> 20} MiB, the maximum for a specification: put data into files, and list them in `files`"
        )
    if isinstance(content, str):
        return content.removeprefix("\ufeff")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"not UTF-8: the byte 0x{content[error.start]:02x} (save the file as UTF-8)", line) from None


class _Document:
    """One parsed document, with overrides, before its conversion to a specification."""

    def __init__(self, node: Node, overrides: Mapping[str, Any]) -> None:
        self.node = node
        self.found: list[Found] = []
        self.overridden: list[Location] = []
        self.blocks = {pair.key: pair.value for pair in merged(node) if pair.key in _OWN_KEYS}
        data = self._plain(node, ())
        for key, value in overrides.items():
            self._override(data, key, value)
        self.data = {key: value for key, value in data.items() if key not in _OWN_KEYS and not key.startswith("x-")}

    def build(self, given: Mapping[str, Any]) -> tuple[ApplicationSpec | None, list[Found]]:
        """The specification, or all problems in the order of the file."""
        values, declared, found = parameter_values(self.blocks.get("parameters"), given)
        substitution = Substitution(values, declared)
        data = substitution.apply(self.data)
        unfilled = {location for location, _text in substitution.found}
        spec, others = inspect(ApplicationSpec, data)
        # no further problems of values with an unknown parameter
        others = [row for row in others if not any(row[0][: len(place)] == place for place in unfilled)]
        everything = [row for row in (*self.found, *found, *substitution.found, *others) if row[1]]
        shown = sorted(everything[:MOST_SHOWN], key=lambda row: line_of(self.node, row[0]))
        return (None if everything or unfilled else spec), [*shown, *everything[MOST_SHOWN:]]

    def place(self, origin: str, location: Location) -> str:
        """The prefix of a problem."""
        if any(location[: len(place)] == place for place in self.overridden):
            return "given by the caller: "
        line = line_of(self.node, location)
        return f"{origin}:{line}: " if line else f"{origin}: "

    def _plain(self, node: Node, location: Location) -> Any:
        """A node as plain data; duplicate keys are problems."""
        if node.kind == "list":
            return [self._plain(item, (*location, index)) for index, item in enumerate(node.items or ())]
        if node.kind == "scalar":
            value = node.scalar()
            if isinstance(value, (int, float)) and not isinstance(value, bool) and _is_variable(location):
                return node.text  # keep 1.10 and 007 as written
            return value
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for pair in merged(node):
            where = (*location, pair.key)
            if pair.key in data:
                name = shorten(".".join(map(str, where)), 200, quote=False)
                self.found.append((where, f"{name}: occurs twice (first in line {lines[pair.key]})"))
                continue
            lines[pair.key] = pair.line
            data[pair.key] = self._plain(pair.value, where)
        return data

    def _override(self, data: Any, key: str, value: Any) -> None:
        """Set the value at a dotted key.

        Raises:
            SpecError: there is no such place.
        """
        parts: list[str | int] = list(key.split("."))
        if len(parts) > 4 and parts[0] == "services" and parts[2] in _FREE_KEYS:
            parts[3:] = [".".join(map(str, parts[3:]))]
        if not all(parts):
            raise _bad_override(f"{key!r} is not a place in a specification, such as services.train.instances")
        services = data.get("services")
        if len(parts) > 2 and parts[0] == "services" and isinstance(services, dict) and parts[1] not in services:
            near = difflib.get_close_matches(str(parts[1]), list(services), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {shorten_list(services)}"
            raise _bad_override(f"{key}: there is no service {parts[1]!r}; {hint}")
        holder = data
        for index, part in enumerate(parts):
            if isinstance(holder, list):
                if not (re.fullmatch(r"[0-9]{1,6}", str(part)) and int(part) < len(holder)):
                    raise _bad_override(f"{key}: there is no element {part!r}; the list has {len(holder)}")
                part = parts[index] = int(part)
            elif not isinstance(holder, dict):
                raise _bad_override(f"{key}: {'.'.join(map(str, parts[:index]))} has no fields")
            if index == len(parts) - 1:
                holder[part] = value
                break
            below = holder[part] if isinstance(part, int) else holder.get(part)
            if below is None:
                below = holder[part] = {}
            holder = below
        self.overridden.append(tuple(parts))


def _bad_override(text: str) -> SpecError:
    return SpecError([f"given by the caller: {text}"])


def _is_variable(location: Location) -> bool:
    return len(location) == 4 and location[0] == "services" and location[2] == "variables"


def resolved(spec: ApplicationSpec, folder: str | os.PathLike[str]) -> ApplicationSpec:
    """`spec` with absolute local paths of its files and environments; relative ones are relative to `folder`."""

    def there(path: str) -> str:
        if "://" in path or path.startswith("~"):
            return path
        return os.path.join(folder, path)  # noqa: PTH118 - a Path would drop the slash at the end of "folder/"

    def of(service: Service) -> Service:
        files = tuple(
            file if file.remote else file.model_copy(update={"source": there(file.source)}) for file in service.files
        )
        environment = service.environment
        if environment is not None and environment.kind == "archive":
            paths: dict[str, Any] = {
                name: there(path) for name in ("archive", "file") if (path := getattr(environment, name))
            }
            if "/" in environment.prefix:  # else the name of a conda environment
                paths["prefix"] = there(environment.prefix)
            paths["channels"] = tuple(there(name) if name.startswith(".") else name for name in environment.channels)
            environment = environment.model_copy(update=paths)
        changes = {"files": files, "environment": environment}
        return service.model_copy(
            update={key: value for key, value in changes.items() if value != getattr(service, key)}
        )

    return spec.model_copy(update={"services": {name: of(service) for name, service in spec.services.items()}})


def dumps(spec: ApplicationSpec, kind: Literal["yaml", "json"] = "yaml") -> str:
    """The complete specification, with defaults; `loads` returns an equal one."""
    return dump_document(spec.model_dump(mode="json"), kind)


def dump_document(document: Mapping[str, Any], kind: Literal["yaml", "json"] = "yaml") -> str:
    """The fields of a specification as a text from which `loads` reads the same values; `${param.…}` is literal in them."""
    data = _escaped(dict(document))
    if kind == "json":
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def override(text: str) -> tuple[str, Any]:
    """`services.train.instances=4` as place and value; the value is parsed as YAML.

    Raises:
        SpecError: it has no `=`.
    """
    key, mark, value = text.partition("=")
    if not mark or not key.strip():
        raise SpecError([f"{text!r} is not PLACE=VALUE, as in services.train.instances=4"])
    if ".variables." in key:
        return key.strip(), value  # as typed, without YAML
    try:
        return key.strip(), plain(read_yaml(value))
    except Unreadable:
        return key.strip(), value


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return escape(value) if isinstance(value, str) else value


class _Dumper(yaml.SafeDumper):
    """Quotes texts that would be read as another type; writes texts of several lines as blocks."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _ODD.search(text):  # some of these characters would be read as line ends
        style = '"'
    elif "\n" in text:
        style = "|"
    elif text == "<<" or not isinstance(resolve(text), str):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)

__all__ = ["dump_document", "dumps", "load", "loads", "override", "resolved"]
