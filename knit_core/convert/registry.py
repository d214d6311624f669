"""Which launcher a description is for, told by its content; and the conversion."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knit_core.convert import distributed_shell, kitten, skein, slider, tony, yarn_service
from knit_core.convert.draft import Conversion, Source
from knit_core.convert.fields import check_merges
from knit_core.errors import SpecError
from knit_core.spec.parser import MOST_BYTES, Unreadable, plain, read_json, read_yaml

KNIT = "knit"
KINDS = (skein.KIND, yarn_service.KIND, slider.KIND, kitten.KIND, distributed_shell.KIND, tony.KIND)
_CONVERTERS: Mapping[str, Callable[[Mapping[str, Source]], Conversion]] = {
    skein.KIND: skein.convert,
    yarn_service.KIND: yarn_service.convert,
    slider.KIND: slider.convert,
    distributed_shell.KIND: distributed_shell.convert,
    tony.KIND: tony.convert,
}
_YARN_CALL = re.compile(r"^\s*(?:local\s+)?[A-Za-z_]\w*\s*=\s*yarn\s*(?:\{|\(|[a-z_]+)", re.MULTILINE)
_SKEIN_SERVICE = {"script", "commands", "env", "depends", "max_restarts", "allow_failures"}
_SKEIN_TOP = {"master", "file_systems", "max_attempts"}
_KNIT_SERVICE = {
    "command",
    "memory",
    "vcores",
    "variables",
    "depends_on",
    "restart",
    "environment",
    "readiness",
    "docker",
}
_KNIT_TOP = {"parameters", "completion", "attempts", "lifetime", "node_failures", "master_memory", "$schema"}


@dataclass(frozen=True)
class Told:
    """A launcher, and the part of its description that a text is ("" if it has one part)."""

    kind: str
    part: str = ""


def decode(name: str, content: bytes) -> Source:
    """A source from a file's bytes.

    Raises:
        SpecError: too large, binary, not UTF-8, or empty.
    """
    if len(content) > MOST_BYTES:
        raise SpecError([f"{name}: larger than {MOST_BYTES >> 20} MiB, the maximum for a description"])
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise SpecError([f"{name}: it is UTF-16: save it as UTF-8"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(
            [f"{name}:{line}: not UTF-8: the byte 0x{content[error.start]:02x} (save the file as UTF-8)"]
        ) from None
    source = Source(name, text)
    check_text(source)
    return source


def check_text(source: Source) -> None:
    """Refuse what is no text.

    Raises:
        SpecError: it is empty, too large, or has characters that no text has.
    """
    odd = re.search("[\0\ud800-\udfff]", source.text)
    if odd:
        line = source.text.count("\n", 0, odd.start()) + 1
        what = "it is binary: a NUL character" if odd[0] == "\0" else "not valid Unicode"
        raise SpecError([f"{source.name}:{line}: {what}"])
    if not source.text.strip():
        raise SpecError([f"{source.name}: the file is empty"])
    if len(source.text) > MOST_BYTES:
        raise SpecError([f"{source.name}: larger than {MOST_BYTES >> 20} MiB, the maximum for a description"])


def tell(source: Source) -> list[Told]:
    """All launchers that a text can be for; Knit's own specifications are "knit". Empty for none."""
    text = source.text
    if text.lstrip()[:1] == "<":
        return [Told(tony.KIND, "conf")] if "<configuration" in text and "tony." in text else []
    top = _mapping(text)
    found = _of_mapping(top) if top is not None else []
    if found:  # what such a mapping has in its texts does not count
        return found
    if _YARN_CALL.search(text):
        found.append(Told(kitten.KIND))
    if distributed_shell.looks_like(text):
        found.append(Told(distributed_shell.KIND))
    elif tony.looks_like(text):
        found.append(Told(tony.KIND, "command"))
    return found


def _mapping(text: str) -> Mapping[str, Any] | None:
    """The text as a mapping of YAML or JSON; None if it is none."""
    readers = (read_json, read_yaml) if text.lstrip()[:1] == "{" else (read_yaml,)
    for reader in readers:
        try:
            node = reader(text)
            check_merges(node)
        except Unreadable:
            continue
        return plain(node) if node.kind == "mapping" else None
    return None


def _of_mapping(top: Mapping[str, Any]) -> list[Told]:
    part = slider.part_of(top)
    if part:
        return [Told(slider.KIND, part)]
    services = top.get("services")
    if yarn_service.looks_like(top):
        return [Told(yarn_service.KIND)] + ([Told(KNIT)] if isinstance(services, dict) else [])
    if not isinstance(services, dict):
        return [Told(skein.KIND)] if isinstance(top.get("master"), dict) and "script" in top["master"] else []
    keys = {key for service in services.values() if isinstance(service, dict) for key in service}
    found = [Told(skein.KIND)] if _SKEIN_SERVICE & keys or _SKEIN_TOP & set(top) else []
    return found + ([Told(KNIT)] if _KNIT_SERVICE & keys or _KNIT_TOP & set(top) or not found else [])


def choose(source: Source, kind: str = "") -> Told:
    """The launcher of a text.

    Args:
        source: the text.
        kind: one of KINDS, given by the user; empty to tell it by the content.

    Raises:
        SpecError: it can be for none or for several.
    """
    if kind and kind not in {slider.KIND, tony.KIND}:  # these have several parts
        return Told(kind)
    found = tell(source)
    if kind:
        same = [told for told in found if told.kind == kind]
        if same:
            return same[0]
        parts = {slider.KIND: "resources", tony.KIND: "conf" if source.text.lstrip()[:1] == "<" else "command"}
        return Told(kind, parts[kind])
    if len({told.kind for told in found}) > 1:
        names = " and ".join(told.kind for told in found)
        raise SpecError([f"{source.name}: it can be a description for {names}: say which, with --from KIND"])
    if not found:
        if "<metainfo" in source.text:
            raise SpecError([f"{source.name}: of Slider, metainfo.json is read, not metainfo.xml"])
        raise SpecError([f"{source.name}: it is no description of {', '.join(KINDS)} that can be told by its content: "
                         "if it is one, say which, with --from KIND"])  # fmt: skip
    return found[0]


def convert(sources: Sequence[Source], kind: str = "", job: str = "") -> Conversion:
    """Convert a description to a specification of Knit.

    Args:
        sources: its files; several for Slider and TonY.
        kind: one of KINDS; empty to tell it by the content.
        job: for kitten, the application's name in a file with several.

    Raises:
        SpecError: it cannot be told what it is, or it cannot be converted; the error has all reasons with file and line.
    """
    for source in sources:
        check_text(source)
    told = [choose(source, kind) for source in sources]
    names = list(dict.fromkeys(each.kind for each in told))
    if names == [KNIT]:
        raise SpecError([f"{sources[0].name}: it is a specification of Knit already"])
    if len(names) > 1:
        other = next(index for index, each in enumerate(told) if each.kind != told[0].kind)
        raise _two(sources[0], sources[other])
    parts: dict[str, Source] = {}
    for each, source in zip(told, sources, strict=True):
        if each.part in parts:
            raise _two(parts[each.part], source)
        parts[each.part] = source
    if names == [kitten.KIND]:
        return kitten.convert(parts, job)
    return _CONVERTERS[names[0]](parts)


def _two(first: Source, second: Source) -> SpecError:
    return SpecError([f"{first.name} and {second.name}: they are two descriptions; convert one"])


__all__ = ["KINDS", "KNIT", "Told", "choose", "convert", "decode", "tell"]
