"""Slider's applications: resources.json, with appConfig.json and metainfo.json."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from knit_core.convert.draft import Conversion, Draft, Mark, Source
from knit_core.convert.fields import Fields, read
from knit_core.convert.shell import safe_path, with_setup, write_file, yarn_command
from knit_core.convert.slider_values import Values
from knit_core.convert.yarn_service_files import FORMATS
from knit_core.errors import SpecError

KIND = "slider"
PARTS = ("resources", "appConfig", "metainfo")
COMPANIONS = tuple(f"{part}{variant}.json" for part in PARTS for variant in ("", "-default", ".default"))
_MASTER = "slider-appmaster"
_SCHEMA = "example.org/specification"
_ORDER = re.compile(r"(.+)-(START|STARTED|INSTALL|INSTALLED|CONFIGURE|STOP|STOPPED)")
_PAGE = re.compile(r"http://\$\{([A-Za-z0-9_.-]+)_HOST\}:(\$\{[^}]+\}|[0-9]{1,5})(/\S*)?")
_ANTI_AFFINITY = 4
_STRICT = 1


def part_of(top: Mapping[str, Any]) -> str:
    """Which of Slider's files a JSON object is; empty for none."""
    if "schemaVersion" in top and isinstance(top.get("application"), dict):
        return "metainfo"
    if _SCHEMA not in str(top.get("schema", "")):
        return ""
    parts = [top.get("global"), *(top["components"].values() if isinstance(top.get("components"), dict) else ())]
    keys = {key for part in parts if isinstance(part, dict) for key in part}
    return "resources" if any(key.startswith("yarn.") for key in keys) else "appConfig"


def convert(sources: Mapping[str, Source]) -> Conversion:
    """Convert an application.

    Args:
        sources: "resources" and "metainfo", and "appConfig" if there is one.

    Raises:
        SpecError: it cannot be converted; with all reasons.
    """
    missing = [part for part in ("resources", "metainfo") if part not in sources]
    if missing:
        given = ", ".join(source.name for source in sources.values())
        raise SpecError(
            [f"{given}: an application of Slider needs {missing[0]}.json too: name it, or the folder of all files"]
        )
    draft = Draft(KIND, sources["resources"].name)
    tops = {part: Fields(draft, read(source, "json"), source.name) for part, source in sources.items()}
    application = tops["metainfo"].fields("application")
    name = application.text("name", "slider")
    draft.put(("name",), name, application.mark("name"))
    version = application.text("version")
    draft.put(
        ("tags",), [f"version: {version}"[:100]] if version.isascii() and version else None, application.mark("version")
    )
    values = Values(draft, name, tops.get("appConfig"))
    resources = tops["resources"].fields("components")
    defaults = tops["resources"].fields("global")
    draft.check_number(len(resources.pairs))
    _master(draft, resources, defaults)
    order = _order(draft, application)
    components = {row.text("name"): row for row in application.rows("components")}
    names: dict[str, str] = {}
    for each in resources:
        if each == _MASTER:
            continue
        if each not in components:
            resources.wrong(each, "metainfo.json has no component of this name: its command is not known")
        else:
            names[each] = draft.service_name(each, names.values(), resources.mark(each))
    pages = _pages(application, names)
    for each, service in names.items():
        _component(draft, _Component(each, service, components[each], application, values, pages.get(each, [])))
        _resources(draft, resources.fields(each), defaults, service)
        needs = {names[other]: "started" for other in order.get(each, ()) if other in names and other != each}
        draft.put(("services", service, "depends_on"), needs or None, application.mark("commandOrders"))
    for each, row in components.items():
        if each not in names:
            draft.lose(
                row.mark("name"), row.path(), "resources.json has no component of this name, so it is not started"
            )
    values.rest()
    defaults.rest()
    application.lose("exportedConfigs", "configurations are not published: give them to the key-value store")
    application.lose("packages", "the package is not localised: name its files in `files`")
    application.asked |= {"comment", "configFiles", "components", "exportGroups"}
    application.rest()
    for top in tops.values():
        top.asked |= {"schema", "schemaVersion", "global", "components", "application"}
        if top.fields("metadata").pairs:
            top.lose("metadata")
        top.rest()
    return draft.finish()


class _Component:
    """One component of metainfo.json, with what it needs from the other files."""

    def __init__(
        self, name: str, service: str, row: Fields, application: Fields, values: Values, pages: list[tuple[str, ...]]
    ) -> None:
        self.name, self.service, self.row, self.application = name, service, row, application
        self.values, self.pages = values.of(name), pages


def _component(draft: Draft, component: _Component) -> None:
    row, where = component.row, ("services", component.service)
    command = _docker(draft, component) if row.rows("dockerContainers") else _start(component)
    text = component.values.in_command(command, row, "commands")
    setup = _files(draft, component)
    setup += [_page_line(component, *page) for page in component.pages]
    draft.put(
        (*where, "command"), with_setup([*component.values.setup(), *setup], yarn_command(text)), row.mark("name")
    )
    for key in (
        "category",
        "type",
        "publishConfig",
        "compExports",
        "componentExports",
        "appExports",
        "exportedConfigs",
    ):
        row.asked.add(key)
    if row.text("category") == "CLIENT":
        row.wrong("category", "a client is installed, not run: remove it from resources.json")
    for key in ("minInstanceCount", "maxInstanceCount"):
        row.lose(key, "`knit scale` has no limits")
    row.lose("autoStartOnFailure", "an instance that ended is started again, as Slider's documentation says")
    row.rest()


def _start(component: _Component) -> str:
    row = component.row
    if "commandScript" in row:
        row.wrong(
            "commandScript",
            "Slider's agent, which runs scripts, is not there: write the command in `commands`",
        )
        return "true"
    found = ""
    for each in row.rows("commands"):
        if each.text("name", "START").upper() == "START":
            found = each.text("exec")
            each.asked.add("type")
        else:
            each.lose("name", "an instance is ended by SIGTERM, with `stop_grace`")
            each.asked.add("exec")
        each.rest()
    if not found.strip():
        row.wrong("commands", "there is no command that starts it")
    return found or "true"


def _docker(draft: Draft, component: _Component) -> str:
    rows = component.row.rows("dockerContainers")
    if len(rows) > 1:
        component.row.wrong(
            "dockerContainers", "a container of YARN is one container of Docker: make the others components"
        )
    each, where = rows[0], ("services", component.service)
    docker: dict[str, Any] = {"image": each.text("image")}
    if each.text("network"):
        docker["network"] = each.text("network")
    if each.flag("runPrivilegedContainer"):
        docker["privileged"] = True
    mounts = [f"{mount.text('hostMount')}:{mount.text('containerMount')}:rw" for mount in each.rows("mounts")]
    if mounts:
        docker["mounts"] = mounts
    draft.put((*where, "docker"), docker, each.mark("image"))
    command = " ".join(part for part in (each.text("startCommand"), each.text("additionalParam")) if part)
    if not command:
        each.wrong("startCommand", "it is missing; the image's entry point is not run: write it here")
    each.asked |= {"name", "yarnContainerMountPoint"}
    each.lose("ports", "the port is that of the node: use the network `host`")
    each.rest()
    return command or "true"


def _files(draft: Draft, component: _Component) -> list[str]:
    """Lines that write the configuration files of the application and of the component."""
    lines = []
    for each in [*component.application.rows("configFiles"), *component.row.rows("configFiles")]:
        kind, file = each.text("type").upper().replace("-", "_"), each.text("fileName")
        values = component.values.dictionary(each.text("dictionaryName"), each)
        if kind in {"TEMPLATE", "ENV"} and "content" not in values:
            each.lose("fileName", "the template is in the package, which is not read")
        elif kind not in {*FORMATS, "TEMPLATE", "ENV"} or not safe_path(file) or "/" in file:
            each.wrong("fileName", f"should be a file name without a folder, of a known type, not {kind[:40]!r}")
        else:
            content = values["content"] if kind in {"TEMPLATE", "ENV"} else FORMATS[kind](values)
            lines.append(write_file(f"app/conf/{file}", content, component.values.dynamic))
    return lines


def _pages(application: Fields, names: Mapping[str, str]) -> dict[str, list[tuple[str, ...]]]:
    """For each component, its pages: name, port, path. Other exports are lost."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for group in application.rows("exportGroups"):
        for each in group.rows("exports"):
            match = _PAGE.fullmatch(each.text("value"))
            if match is None or match[1] not in names:
                each.lose(
                    "value", "it is not published: let the program put it into the key-value store (knit_container.kv)"
                )
            else:
                page = re.sub(r"[^A-Za-z0-9._~-]+", "-", f"{group.text('name')}-{each.text('name')}")
                found.setdefault(match[1], []).append((page, match[2], match[3] or "/"))
    return found


def _page_line(component: _Component, page: str, port: str, path: str) -> str:
    number = component.values.shell_word(port)
    call = f'python3 -m knit_container page {page}-"$KNIT_INSTANCE" {number} --path {component.values.shell_word(path)}'
    return f"{{ {call} || echo 'knit: the page is not shown' >&2; }}"


def _order(draft: Draft, application: Fields) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in application.rows("commandOrders"):
        command = _ORDER.fullmatch(row.text("command"))
        for each in row.texts("requires"):
            for part in each.split(","):
                other = _ORDER.fullmatch(part.strip())
                if command and other and command[2] == "START" and other[2] == "STARTED":
                    found.setdefault(command[1], []).append(other[1])
                else:
                    draft.lose(
                        row.mark("requires"), f"{row.path()} {part.strip()}", "only the start of another is waited for"
                    )
    return found


def _master(draft: Draft, resources: Fields, defaults: Fields) -> None:
    master = resources.fields(_MASTER)
    draft.master_memory(master.whole("yarn.memory"), master.mark("yarn.memory"), master.path("yarn.memory"))
    draft.put(("master_label",), master.text("yarn.label.expression") or None, master.mark("yarn.label.expression"))
    master.asked |= {"yarn.vcores", "yarn.component.instances", "yarn.role.priority"}
    master.rest()
    for ours, key in (("include", "yarn.log.include.patterns"), ("exclude", "yarn.log.exclude.patterns")):
        draft.put(("logs", ours), defaults.text(key) or None, defaults.mark(key))


def _resources(draft: Draft, own: Fields, defaults: Fields, service: str) -> None:
    where = ("services", service)

    def holder(key: str) -> Fields:
        return own if key in own else defaults

    for key, field in (("yarn.component.instances", "instances"), ("yarn.memory", "memory"), ("yarn.vcores", "vcores")):
        each = holder(key)
        if each.text(key) == "max":
            each.wrong(key, "the queue's maximum is only known to the cluster: write a number")
            continue
        default = 1 if field == "instances" else 256 if field == "memory" else None
        draft.put((*where, field), each.whole(key, default), each.mark(key))
    key = "yarn.label.expression"
    draft.put((*where, "node_label"), holder(key).text(key) or None, holder(key).mark(key))
    _policy(draft, holder("yarn.component.placement.policy"), where)
    _restart(draft, holder, where)
    key = "yarn.node.failure.threshold"
    number = holder(key).whole(key)
    if number is not None:
        most = max(number, int(draft.document.get("node_failures", 0))) if number > 0 else 0
        draft.put(("node_failures",), most, holder(key).mark(key))
    for key, why in (
        ("yarn.role.priority", "containers are asked for in the order of `depends_on`"),
        ("yarn.placement.escalate.seconds", "nodes of an earlier run are not asked for"),
    ):
        own.lose(key, why)
        defaults.asked.add(key)
    own.rest()


def _policy(draft: Draft, holder: Fields, where: Sequence[str]) -> None:
    key = "yarn.component.placement.policy"
    number = holder.whole(key, 0) or 0
    if number & _ANTI_AFFINITY:
        draft.put((*where, "anti_affinity"), True, holder.mark(key))
    if number & _STRICT:
        holder.lose(key, "1: nodes of an earlier run are not asked for: name them in `nodes`")


def _restart(draft: Draft, holder: Any, where: Sequence[str]) -> None:
    """Slider starts each instance again; a threshold counts failures of a component within a window of 6 hours."""
    prefix = "yarn.container.failure."
    threshold = holder(f"{prefix}threshold").whole(f"{prefix}threshold", 5)
    days, hours, minutes = (
        holder(f"{prefix}window.{unit}").whole(f"{prefix}window.{unit}") for unit in ("days", "hours", "minutes")
    )
    window = 86400 * (days or 0) + 3600 * (hours or 0) + 60 * (minutes or 0)
    restart: dict[str, Any] = {"policy": "always", "limit": None}
    if threshold and threshold > 0:
        restart |= {"limit": threshold, "window": window or 6 * 3600}
    mark: Mark = holder(f"{prefix}threshold").mark(f"{prefix}threshold")
    draft.put((*where, "restart"), restart, mark)


__all__ = ["COMPANIONS", "KIND", "PARTS", "convert", "part_of"]
