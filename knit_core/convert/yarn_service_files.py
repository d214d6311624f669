"""Configuration files of YARN's service framework: written by the command at its start, or localised."""

from __future__ import annotations

import json
import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from xml.sax.saxutils import escape

from knit_core.convert.draft import Draft
from knit_core.convert.fields import Fields
from knit_core.convert.shell import safe_path, write_file
from knit_core.convert.yarn_service_names import Names
from knit_core.spec.documents import dump_document


def hadoop_xml(values: Mapping[str, str]) -> str:
    """Properties as Hadoop's configuration files have them."""
    rows = "".join(
        f"  <property>\n    <name>{escape(name)}</name>\n    <value>{escape(value)}</value>\n  </property>\n"
        for name, value in values.items()
    )
    return f'<?xml version="1.0"?>\n<configuration>\n{rows}</configuration>\n'


def java_properties(values: Mapping[str, str]) -> str:
    """Properties as `name=value` lines."""
    return "".join(f"{name}={value}\n" for name, value in values.items())


FORMATS: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "XML": hadoop_xml,
    "HADOOP_XML": hadoop_xml,
    "PROPERTIES": java_properties,
    "JSON": lambda values: json.dumps(dict(values), indent=2, ensure_ascii=False) + "\n",
    "YAML": dump_document,
}
_TEXTS = ("TEMPLATE", "ENV")


def convert(draft: Draft, configurations: Sequence[Fields], names: Names, docker: bool) -> list[str]:
    """Lines of bash that write or link the files of the service and of the component.

    Args:
        draft: takes the localised files.
        configurations: the service's and the component's `configuration`; of files with one destination the last counts.
        names: the constants.
        docker: whether the component has an image; only then paths may be absolute.
    """
    chosen: dict[str, Fields] = {}
    for configuration in configurations:
        for each in configuration.rows("files"):
            target = each.text("dest_file") or posixpath.basename(each.text("src_file"))
            if not target:
                each.wrong("dest_file", "it is missing")
            else:
                chosen[target] = each
    lines: list[str] = []
    for target, each in chosen.items():
        lines += _file(draft, each, target, names, docker)
    return lines


def _file(draft: Draft, each: Fields, target: str, names: Names, docker: bool) -> list[str]:
    kind, source = each.text("type").upper(), each.text("src_file")
    properties = each.fields("properties")
    values = {name: names.fixed(text, properties, name) for name, text in properties.all_texts().items()}
    each.asked |= {"dest_file", "properties"}
    each.rest("the API has no such key")
    if kind in {"STATIC", "ARCHIVE"}:
        return _localised(draft, each, target, source, names, kind)
    if kind not in {*FORMATS, *_TEXTS}:
        each.wrong("type", f"should be one of {', '.join([*FORMATS, *_TEXTS, 'STATIC', 'ARCHIVE'])}, not {kind[:40]!r}")
        return []
    path = target if target.startswith("/") else f"conf/{target}"
    if target.startswith("/") and not docker:
        each.wrong("dest_file", "an absolute path is only possible in a container of Docker")
        return []
    if not safe_path(path.lstrip("/")):
        each.wrong("dest_file", "should be a file name: a path may not leave its folder")
        return []
    if target.startswith("/"):
        each.lose("dest_file", "the command writes it at its start, so its user must be able to write there")
    if source:
        return _copied(draft, each, path, source, names, bool(values))
    content = values.get("content", "") if kind in _TEXTS else FORMATS[kind](values)
    if kind in _TEXTS and "content" not in values:
        each.wrong("properties", "a template needs `content`, or a src_file")
    return [write_file(path, content, names.dynamic)]


def _copied(draft: Draft, each: Fields, path: str, source: str, names: Names, changed: bool) -> list[str]:
    """A template on HDFS."""
    if changed:
        each.wrong(
            "properties", "they cannot be merged into src_file: write all properties here, or all into that file"
        )
        return []
    link = f"source-{posixpath.basename(source)}"
    _add(draft, names, each, {"source": _on_hdfs(source), "name": link, "type": "FILE"})
    each.lose("src_file", "the file is copied as it is: constants in it are not replaced")
    return [f"mkdir -p {shlex.quote(posixpath.dirname(path))} && cp {shlex.quote(link)} {shlex.quote(path)}"]


def _localised(draft: Draft, each: Fields, target: str, source: str, names: Names, kind: str) -> list[str]:
    """A file or archive that YARN localises; below `resources` it is a link."""
    if not source or not safe_path(target) or "/" in target:
        each.wrong(
            "src_file" if not source else "dest_file", "a static file needs src_file, and a dest_file without a folder"
        )
        return []
    row = {"source": _on_hdfs(source), "name": target, "type": "FILE" if kind == "STATIC" else "ARCHIVE"}
    _add(draft, names, each, row)
    return [f"mkdir -p resources && ln -sfn {shlex.quote('../' + target)} {shlex.quote('resources/' + target)}"]


def _add(draft: Draft, names: Names, each: Fields, row: dict[str, str]) -> None:
    service = draft.document.get("services", {}).get(names.service, {})
    draft.put(("services", names.service, "files"), [*service.get("files", []), row], each.mark("src_file"))


def _on_hdfs(source: str) -> str:
    return f"hdfs://{source}" if source.startswith("/") else source


__all__ = ["FORMATS", "convert", "hadoop_xml"]
