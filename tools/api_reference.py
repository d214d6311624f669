"""Writes docs/api.md from the docstrings: `python tools/api_reference.py`. A test fails when the page is behind the code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api.md"

#: Section → what its users import, by the name that they import it with.
SECTIONS = {
    "Launching": ("knit_core.Knit", "knit_core.Application", "knit_core.LaunchPlan"),
    "Specifications": ("knit_core.ApplicationSpec", "knit_core.Service", "knit_core.File"),
    "What comes back": (
        "knit_core.Result",
        "knit_core.Container",
        "knit_core.ApplicationReport",
        "knit_core.ServiceStatus",
        "knit_core.Event",
        "knit_core.TokenStatus",
        "knit_core.TokenPush",
        "knit_core.Why",
        "knit_core.LayerCheck",
        "knit_core.LogLine",
        "knit_core.LogFile",
        "knit_core.LogWatch",
        "knit_core.LogCursor",
    ),
    "Descriptions for other launchers": ("knit_core.convert",),
    "Environments": (
        "knit_core.Environment",
        "knit_core.PackageVersion",
        "knit_core.environments.EnvironmentBuilder",
        "knit_core.Pushed",
        "knit_core.Pruned",
    ),
    "Inside containers": ("knit_container",),
    "Dask": ("knit_core.dask_yarn.DaskYARNCluster",),
    "Airflow": (
        "knit_airflow.KnitOperator",
        "knit_airflow.KnitSensor",
        "knit_airflow.KnitEnvironmentOperator",
        "knit_airflow.KnitHook",
        "knit_airflow.KnitRetryPolicy",
    ),
    "Embedded cluster and tests": ("knit_core.local.LocalCluster", "knit_core.testing.FakeKnit"),
}
#: What Airflow calls, not its users.
HIDDEN = frozenset({"execute", "execute_complete", "poke", "on_kill", "submission", "value", "evaluate"})
INTRODUCTION = """# API reference

Made from the docstrings by `tools/api_reference.py`; what is not here is not promised to stay. Memory is in MiB, time in
seconds, unless said otherwise; where a number is taken, a text with a unit is, too ("2 GiB", "5 min").
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The whole page as Markdown."""
    # It complains about parameters that share a line ("tags, name, queue"), which is our habit.
    logging.getLogger("griffe").setLevel(logging.CRITICAL)
    loader = griffe.GriffeLoader(docstring_parser=griffe.Parser.google, search_paths=[str(ROOT)])
    for package in ("knit_core", "knit_container", "knit_airflow"):
        loader.load(package)
    parts = [INTRODUCTION]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in names:
            parts += _entry(_find(loader, name), name)
    errors = loader.modules_collection["knit_core.errors"].docstring
    parts += ["## Errors\n", f"`knit_core.errors`\n\n{errors.value if errors else ''}\n"]
    return "\n".join(parts)


def _find(loader: griffe.GriffeLoader, name: str) -> griffe.Object:
    """The class or module behind a name; packages hand their names out on first use, which no static reader follows."""
    found = loader.modules_collection.members.get(name)
    if found is not None:
        return found  # a package itself
    package, _, member = name.rpartition(".")
    home = loader.modules_collection[package]
    if member in home.members and not home.members[member].is_alias:
        return home.members[member]
    target = next(
        (
            str(alias.target_path)
            for alias in _aliases(home)
            if alias.name == member and alias.target_path.startswith(package.split(".")[0])
        ),
        None,
    )
    if target is None:
        raise LookupError(f"{name} is not in the sources")
    return _find(loader, target) if target != name else loader.modules_collection[target]


def _aliases(module: griffe.Object) -> Iterator[griffe.Alias]:
    for each in module.members.values():
        if isinstance(each, griffe.Alias):
            yield each


def _entry(found: griffe.Object, name: str) -> Iterator[str]:
    if isinstance(found, griffe.Module):
        exports = found.exports or []
        yield f"### `{name}`\n"
        yield from _docstring(found)
        for member in sorted(str(each) for each in exports):
            target = found.members[member]
            target = target.final_target if isinstance(target, griffe.Alias) else target
            yield from _member(target, name.rpartition(".")[2] or name)
        return
    yield f"### `{name}`\n"
    if isinstance(found, griffe.Class) and "__init__" in found.members:
        yield f"```text\n{found.name}{_arguments(found.members['__init__'])}\n```\n"
    yield from _docstring(found)
    for member in found.all_members.values():
        member = member.final_target if isinstance(member, griffe.Alias) else member
        if member.name.startswith("_") or (member.name in HIDDEN and name.startswith("knit_airflow")):
            continue
        if member.docstring and (isinstance(member, griffe.Function) or "property" in member.labels):
            yield from _member(member, found.name)


def _member(member: griffe.Object, owner: str) -> Iterator[str]:
    signature = _arguments(member) if isinstance(member, griffe.Function) else ""
    yield f"#### `{owner}.{member.name}{signature}`\n"
    yield from _docstring(member)


def _arguments(function: griffe.Object) -> str:
    """The parameters as they are written in a call; without annotations, which make them unreadable."""
    assert isinstance(function, griffe.Function)
    words: list[str] = []
    starred = False
    for each in function.parameters:
        if each.name == "self" or each.name == "cls":
            continue
        if each.kind is griffe.ParameterKind.var_positional:
            words.append(f"*{each.name}")
            starred = True
        elif each.kind is griffe.ParameterKind.var_keyword:
            words.append(f"**{each.name}")
        else:
            if each.kind is griffe.ParameterKind.keyword_only and not starred:
                words.append("*")
                starred = True
            words.append(each.name if each.default is None else f"{each.name}={each.default}")
    return f"({', '.join(words)})"


def _docstring(found: griffe.Object) -> Iterator[str]:
    if found.docstring is None:
        return
    for section in found.docstring.parsed:
        kind = section.kind.value
        if kind == "text":
            yield f"{section.value}\n"
        elif kind in ("parameters", "attributes", "other parameters", "raises", "returns", "yields"):
            yield f"**{(section.title or kind).capitalize()}**\n"
            yield "\n".join(_item(each) for each in section.value) + "\n"
        else:
            yield f"**{section.title or kind}** {getattr(section.value, 'contents', '')}\n"


def _item(each: griffe.DocstringElement) -> str:
    name = getattr(each, "name", "") or str(getattr(each, "annotation", "") or "")
    description = " ".join(each.description.split())
    return f"- `{name}`: {description}" if name else f"- {description}"


if __name__ == "__main__":
    main()
