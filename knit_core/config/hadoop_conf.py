"""HadoopConf: Hadoop's configuration from XML files or a ResourceManager, with `${…}` expanded.

Rules are those of org.apache.hadoop.conf.Configuration: later files override earlier ones unless a property was
`final`, `${name}` expands to another property, `${env.NAME}`, `${env.NAME:-default}` to the environment, at most 20
levels deep; an unknown name is not expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from knit_core.errors import ConfigError
from knit_core.model.lenient_json import rows
from knit_core.model.representation import shown

FILES = ("core-default.xml", "core-site.xml", "hdfs-site.xml", "yarn-site.xml")
FOLDERS = (
    ("HADOOP_CONF_DIR", ""),
    ("YARN_CONF_DIR", ""),
    ("HADOOP_HOME", "etc/hadoop"),
    ("HADOOP_INSTALL", "hadoop/conf"),
)
DEFAULT_FOLDER = "/etc/hadoop/conf"
_REFERENCE = re.compile(r"\$\{([^}$\s]+)\}")
_MAX_DEPTH = 20


@shown
@dataclass(frozen=True)
class HadoopConf:
    """Properties with the source of each (the path of a file, or the address of a ResourceManager)."""

    properties: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def get(self, name: str, default: str | None = None) -> str | None:
        """The expanded value of `name`."""
        raw = self.properties.get(name)
        return default if raw is None else self._expand(raw).strip()

    def boolean(self, name: str, default: bool = False) -> bool:
        """`true`/`false`; anything else is the default, as in Hadoop."""
        return {"true": True, "false": False}.get((self.get(name) or "").lower(), default)

    def integer(self, name: str, default: int) -> int:
        """A whole number; the default when the property is not set or not a number."""
        try:
            return int(self.get(name) or default)
        except ValueError:
            return default

    def source(self, name: str) -> str:
        """Where `name` was set."""
        return self.sources.get(name, "")

    def _expand(self, text: str) -> str:
        for _ in range(_MAX_DEPTH):
            expanded = _REFERENCE.sub(lambda found: self._lookup(found[1], found[0]), text)
            if expanded == text:
                break
            text = expanded
        return text

    def _lookup(self, name: str, unexpanded: str) -> str:
        if name.startswith("env."):
            variable, mark, default = name[4:].partition(":-")
            if mark:  # `:-`: the default replaces an empty variable too
                return self.environment.get(variable) or default
            variable, mark, default = variable.partition("-")
            return self.environment.get(variable, default if mark else unexpanded)
        return self.properties.get(name, self.environment.get(name, unexpanded))


def folders(environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Folders that may hold Hadoop's XML, in order of precedence, each with the variable that names it."""
    for variable, below in FOLDERS:
        value = environ.get(variable)
        if value:
            yield Path(value) / below, variable
    yield Path(DEFAULT_FOLDER), DEFAULT_FOLDER


def read_folder(folder: Path, why: str, environ: Mapping[str, str]) -> HadoopConf | None:
    """The configuration in `folder`; None when it has none of Hadoop's files.

    Raises:
        ConfigError: a file cannot be read, or is not XML.
    """
    properties: dict[str, str] = {}
    sources: dict[str, str] = {}
    final: set[str] = set()
    found = False
    for name in FILES:
        path = folder / name
        try:
            text = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise ConfigError(f"{path} ({why}) cannot be read: {error.strerror}") from None
        found = True
        label = f"{path} ({why})" if why != str(folder) else str(path)
        for key, value, is_final in _properties(text, path):
            if key not in final:
                properties[key], sources[key] = value, label
            if is_final:
                final.add(key)
    # for `${env.…}`; Hadoop's files must not read Knit's password or token
    usable = {name: value for name, value in environ.items() if name not in {"KNIT_PASSWORD", "KNIT_TOKEN"}}
    return HadoopConf(properties, sources, usable) if found else None


def _properties(text: bytes, path: Path) -> Iterable[tuple[str, str, bool]]:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ConfigError(f"{path} is not well-formed XML: {error}") from None
    for element in root.iter("property"):
        name = element.findtext("name", "").strip() or element.get("name", "")
        value = element.findtext("value")
        if value is None:
            value = element.get("value")
        if name and value is not None:
            yield name, value, element.findtext("final", "").strip() == "true"


def from_reply(reply: Mapping[str, object], address: str) -> HadoopConf:
    """The configuration in a ResourceManager's reply to `GET /conf`: `{"properties": [{"key", "value", …}]}`."""
    found = rows(reply, "properties")
    if not found:
        raise ConfigError(f"{address}/conf returned no Hadoop configuration")
    properties = {
        str(row["key"]): str(row["value"]) for row in found if row.get("key") and row.get("value") is not None
    }
    return HadoopConf(properties, dict.fromkeys(properties, f"{address}/conf"))
