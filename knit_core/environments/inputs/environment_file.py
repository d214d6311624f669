"""Files that say what an environment should have: environment.yml, requirements.txt, pyproject.toml, uv.lock.

Whatever is wrong in one is named with its line, and nothing is guessed: an unknown key may be a misspelt one.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from knit_core.environments.errors import BadEnvironmentFile
from knit_core.environments.request import without_secrets

_KEYS = ("name", "channels", "dependencies", "variables", "prefix", "platforms")
_INCLUDES = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)")
_REQUIREMENTS = re.compile(r"(?:-r|--requirement)[\s=]*(\S+)")
_NO_OPTIONS = (
    "options and editable folders cannot be in the pip section here; indexes are configured for pip or uv, other files go "
    "by file="
)
_EDITABLE = re.compile(r"^\s*(-e|--editable)\b")
PROJECT_FILES = ("pyproject.toml", "uv.lock")


@dataclass(frozen=True)
class Description:
    """What an environment.yml asks for."""

    name: str = ""
    packages: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


def read_description(path: Path) -> Description:
    """An environment.yml. Raises `BadEnvironmentFile` with the line of what is wrong."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise BadEnvironmentFile(f"{path} is not YAML: {without_secrets(str(error))}") from error
    except UnicodeDecodeError as error:
        raise BadEnvironmentFile(f"{path} is not a text file: {error}") from error
    if not isinstance(root, yaml.MappingNode):
        raise _wrong(path, root, "an environment.yml has keys: name, channels, dependencies, variables")
    for key, node in _keys(path, root):
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_KEYS)}"
            raise _wrong(path, node, f"unknown key {key!r}: {hint}")
    values = {key: node for key, node in _keys(path, root) if not _is_null(node)}  # `prefix:` alone says nothing
    packages, pip = _dependencies(path, values.get("dependencies"))
    channels = [text for text in _texts(path, values.get("channels"), "channels") if text != "nodefaults"]
    variables = dict(_keys(path, values["variables"])) if "variables" in values else {}
    return Description(
        name=_text(path, values["name"], "name") if "name" in values else "",
        packages=tuple(packages),
        channels=tuple(_relative(path, channel) for channel in channels),
        pip=tuple(pip),
        variables={key: _text(path, value, f"variables.{key}") for key, value in variables.items()},
    )


def requirements_digest(path: Path) -> str:
    """Changes when a requirements.txt, pyproject.toml or uv.lock does, or a file that it includes.

    Raises `BadEnvironmentFile` for editable requirements and included files that are not there.
    """
    digest = hashlib.sha256()
    for file in _with_includes(path, set()):
        digest.update(file.read_bytes() + b"\0")
    if path.name == "uv.lock":
        project = path.with_name("pyproject.toml")
        if not project.is_file():
            raise BadEnvironmentFile(f"{path} has no pyproject.toml beside it, which uv needs to read it")
        digest.update(project.read_bytes())
    return digest.hexdigest()


def _with_includes(path: Path, seen: set[Path]) -> Iterator[Path]:
    if path in seen:
        return
    seen.add(path)
    yield path
    if path.name in PROJECT_FILES:
        return
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if _EDITABLE.match(line):
            raise BadEnvironmentFile(
                f"{path}, line {number}: {line.strip()!r} stays where its sources are: build a wheel of it (pip wheel) "
                "and name that, or ship the running environment (venv=True), which takes the sources along"
            )
        if match := _INCLUDES.match(line):
            if "://" in match[1]:
                continue
            included = path.parent / match[1]
            if not included.is_file():
                raise BadEnvironmentFile(f"{path}, line {number}: {included} is not there")
            yield from _with_includes(included, seen)


def _keys(path: Path, node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(path, node, "here are keys with values, like `name: science`")
    seen: dict[str, int] = {}
    for key, value in node.value:
        name = _text(path, key, "a key")
        line = key.start_mark.line + 1
        if name in seen:
            raise BadEnvironmentFile(f"{path}, line {line}: {name!r} is there twice, first in line {seen[name]}")
        seen[name] = line
        yield name, value


def _dependencies(path: Path, node: yaml.Node | None) -> tuple[list[str], list[str]]:
    packages: list[str] = []
    pip: list[str] = []
    for item in _items(path, node, "dependencies"):
        if isinstance(item, yaml.MappingNode):
            for key, value in _keys(path, item):
                if key != "pip":
                    raise _wrong(path, value, f"unknown key {key!r} in dependencies: only pip has a list of its own")
                for requirement in _items(path, value, "pip"):
                    pip += _pip(path, requirement)
        else:
            packages.append(_text(path, item, "a dependency"))
    # pip itself is listed to say who installs; uv does that here, and without it the nodes have fewer files.
    return [each for each in packages if not (pip and each == "pip")], pip


def _pip(path: Path, node: yaml.Node) -> list[str]:
    text = _text(path, node, "a pip requirement")
    included = _REQUIREMENTS.fullmatch(text.strip())
    if included:
        if "://" in included[1]:
            raise _wrong(path, node, f"{text!r}: requirements are read from files beside it, not from an address")
        return list(_requirements(path.parent / included[1], f"{path}, line {node.start_mark.line + 1}", set()))
    if text.startswith("-"):
        raise _wrong(path, node, f"{text.split()[0]!r}: {_NO_OPTIONS}")
    return [_relative(path, text)]


def _requirements(file: Path, named_in: str, seen: set[Path]) -> Iterator[str]:
    """The requirements in a file that the pip section names, and in those that it includes."""
    if file in seen:
        return
    seen.add(file)
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ").splitlines()
    except OSError:
        raise BadEnvironmentFile(f"{named_in}: {file} is not there, or cannot be read") from None
    for number, line in enumerate(lines, 1):
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        included = _REQUIREMENTS.fullmatch(text)
        if included and "://" not in included[1]:
            yield from _requirements(file.parent / included[1], f"{file}, line {number}", seen)
        elif text.startswith("-") or " --" in text:
            raise BadEnvironmentFile(f"{file}, line {number}: {text.split()[0]!r}: {_NO_OPTIONS}")
        elif text:
            yield _relative(file, text)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")


def _texts(path: Path, node: yaml.Node | None, what: str) -> list[str]:
    return [_text(path, item, what) for item in _items(path, node, what)]


def _items(path: Path, node: yaml.Node | None, what: str) -> list[Any]:
    if node is None or _is_null(node):
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise _wrong(path, node, f"{what} is a list: each in a line of its own after `- `")
    return list(node.value)


def _text(path: Path, node: yaml.Node, what: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        raise _wrong(path, node, f"{what} is a text")
    return str(node.value)


def _relative(path: Path, text: str) -> str:
    """Folders are meant from where the file is."""
    return str((path.parent / text).absolute()) if text.startswith(("./", "../")) else text


def _wrong(path: Path, node: yaml.Node | None, what: str) -> BadEnvironmentFile:
    line = f", line {node.start_mark.line + 1}" if node is not None else ""
    return BadEnvironmentFile(f"{path}{line}: {what}")
