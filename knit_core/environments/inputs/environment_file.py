"""Input by an environment.yml.

Errors name the line. Unknown keys are refused, because they may be misspelled.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from knit_core.environments.errors import BadEnvironmentFile
from knit_core.environments.inputs.environment_input import EnvironmentInput
from knit_core.environments.redaction import without_secrets

_KEYS = ("name", "channels", "dependencies", "variables", "prefix", "platforms")
_REQUIREMENTS = re.compile(r"(?:-r|--requirement)[\s=]*(\S+)")
_NO_OPTIONS = (
    "options and editable folders are not supported in the pip section; configure indexes for pip or uv, and give other "
    "files by file="
)


def read_environment_file(path: Path) -> EnvironmentInput:
    """The packages, channels, pip requirements and variables of an environment.yml; its name is ignored.

    Raises `BadEnvironmentFile` with the line of an error.
    """
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
    values = {key: node for key, node in _keys(path, root) if not _is_null(node)}  # keys without a value are ignored
    packages, pip = _dependencies(path, values.get("dependencies"))
    channels = [text for text in _texts(path, values.get("channels"), "channels") if text != "nodefaults"]
    variables = dict(_keys(path, values["variables"])) if "variables" in values else {}
    if "name" in values:
        _text(path, values["name"], "name")
    if not packages and not pip:
        raise BadEnvironmentFile(f"{path} has no dependencies")
    return EnvironmentInput(
        packages=tuple(packages),
        channels=tuple(_relative(path, channel) for channel in channels),
        pip=tuple(pip),
        variables={key: _text(path, value, f"variables.{key}") for key, value in variables.items()},
    )


def _keys(path: Path, node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(path, node, "expected keys with values, like `name: science`")
    seen: dict[str, int] = {}
    for key, value in node.value:
        name = _text(path, key, "a key")
        line = key.start_mark.line + 1
        if name in seen:
            raise BadEnvironmentFile(f"{path}, line {line}: {name!r} occurs twice, first in line {seen[name]}")
        seen[name] = line
        yield name, value


def _dependencies(path: Path, node: yaml.Node | None) -> tuple[list[str], list[str]]:
    packages: list[str] = []
    pip: list[str] = []
    for item in _items(path, node, "dependencies"):
        if isinstance(item, yaml.MappingNode):
            for key, value in _keys(path, item):
                if key != "pip":
                    raise _wrong(path, value, f"unknown key {key!r} in dependencies: only pip can have a list")
                for requirement in _items(path, value, "pip"):
                    pip += _pip(path, requirement)
        else:
            packages.append(_text(path, item, "a dependency"))
    # pip is listed as the installer of the pip section. Here uv installs it, so pip is left out: nodes get fewer files.
    return [each for each in packages if not (pip and each == "pip")], pip


def _pip(path: Path, node: yaml.Node) -> list[str]:
    text = _text(path, node, "a pip requirement")
    included = _REQUIREMENTS.fullmatch(text.strip())
    if included:
        if "://" in included[1]:
            raise _wrong(path, node, f"{text!r}: requirements are read from local files, not from a URL")
        return list(_requirements(path.parent / included[1], f"{path}, line {node.start_mark.line + 1}", set()))
    if text.startswith("-"):
        raise _wrong(path, node, f"{text.split()[0]!r}: {_NO_OPTIONS}")
    return [_relative(path, text)]


def _requirements(file: Path, named_in: str, seen: set[Path]) -> Iterator[str]:
    """The requirements of a file that the pip section names, and of the files that it includes."""
    if file in seen:
        return
    seen.add(file)
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ").splitlines()
    except OSError:
        raise BadEnvironmentFile(f"{named_in}: {file} does not exist or cannot be read") from None
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
        raise _wrong(path, node, f"{what} is a list: write each item on its own line after `- `")
    return list(node.value)


def _text(path: Path, node: yaml.Node, what: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        raise _wrong(path, node, f"{what} is a text")
    return str(node.value)


def _relative(path: Path, text: str) -> str:
    """Relative folders begin at the file's folder."""
    return str((path.parent / text).absolute()) if text.startswith(("./", "../")) else text


def _wrong(path: Path, node: yaml.Node | None, what: str) -> BadEnvironmentFile:
    line = f", line {node.start_mark.line + 1}" if node is not None else ""
    return BadEnvironmentFile(f"{path}{line}: {what}")
