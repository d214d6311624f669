"""Writes names_0_2_4.json: the public names and parameters of knit 0.2.4, read from its source by `ast`.

python tests/unit/seed/extract_names.py CHECKOUT > tests/unit/seed/names_0_2_4.json

CHECKOUT is the folder of the repository dask/knit at the tag 0.2.4. No code is kept: only names, parameters and literal defaults.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("knit", "dask_yarn")


def modules(root: Path) -> dict[str, ast.Module]:
    """The modules of the packages by dotted name; without tests."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            if "tests" not in parts:
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def parameters(function: ast.FunctionDef, *, bound: bool) -> list[list[str | None]]:
    """[name, default] of each parameter; the default is None when there is none. `*` and `**` are part of the name."""
    given = function.args.args[1:] if bound else function.args.args
    assert not function.args.kwonlyargs
    defaults = [None] * (len(function.args.args) - len(function.args.defaults)) + [
        ast.unparse(each) for each in function.args.defaults
    ]
    rows: list[list[str | None]] = [
        [each.arg, default] for each, default in zip(given, defaults[-len(given) :] if given else [], strict=True)
    ]
    rows += [["*" + function.args.vararg.arg, None]] if function.args.vararg else []
    return rows + ([["**" + function.args.kwarg.arg, None]] if function.args.kwarg else [])


def attributes(class_: ast.ClassDef) -> set[str]:
    """Public names that the class or its methods (`self.x = …`) assign."""
    found = set()
    for node in ast.walk(class_):
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                found.add(target.attr)
            elif isinstance(target, ast.Name) and node in class_.body:
                found.add(target.id)
    return {name for name in found if not name.startswith("_")}


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, also those within `try` and `if`."""
    for node in body:
        if isinstance(node, (ast.Try, ast.If)):
            handlers = [each for handler in getattr(node, "handlers", ()) for each in handler.body]
            yield from statements([*node.body, *handlers, *node.orelse])
        else:
            yield node


def names_of(module: str, tree: ast.Module) -> dict[str, Any]:
    """Parameters by dotted name; None for what is no function."""
    found: dict[str, Any] = {}
    for node in statements(tree.body):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            where = f"{module}.{node.name}"
            found[where] = []
            found |= {f"{where}.{name}": None for name in sorted(attributes(node))}
            for method in node.body:
                if not isinstance(method, ast.FunctionDef):
                    continue
                marks = {each.id for each in method.decorator_list if isinstance(each, ast.Name)}
                if method.name == "__init__":
                    found[where] = parameters(method, bound=True)
                elif not method.name.startswith("_"):
                    plain = "property" in marks
                    found[f"{where}.{method.name}"] = (
                        None if plain else parameters(method, bound="staticmethod" not in marks)
                    )
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            found[f"{module}.{node.name}"] = parameters(node, bound=False)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and (not target.id.startswith("_") or target.id == "__version__"):
                    found[f"{module}.{target.id}"] = None
    return found


def aliases_of(module: str, tree: ast.Module, names: dict[str, Any], seen: dict[str, ast.Module]) -> dict[str, str]:
    """What a package's `__init__` takes from its own modules, also by `*`: dotted name -> where it is defined."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.level or node.module in PACKAGES):
            continue
        source = f"{module.split('.')[0]}.{node.module}" if node.level else str(node.module)
        for each in node.names:
            if each.name != "*":
                if not (each.asname or each.name).startswith("_"):
                    found[f"{module}.{each.asname or each.name}"] = f"{source}.{each.name}"
                continue
            own = [name for name in names if name.rpartition(".")[0] == source]
            found |= {f"{module}.{name.rpartition('.')[2]}": name for name in own}
            further = aliases_of(source, seen[source], names, seen)
            found |= {f"{module}.{name.rpartition('.')[2]}": origin for name, origin in further.items()}
    return found


def settings_of(trees: dict[str, ast.Module]) -> list[str]:
    """Keys that the package reads from its configuration, or has a default for."""
    found = set()
    for node in (each for name, tree in trees.items() if name.startswith("knit.") for each in ast.walk(tree)):
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            owner = node.value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and node.args
        ):
            owner = node.func.value
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "DEFAULTS" for t in node.targets):
            found |= {key.value for key in node.value.keys if isinstance(key, ast.Constant)}  # type: ignore[attr-defined]
            continue
        else:
            continue
        name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
        key = node.slice if isinstance(node, ast.Subscript) else node.args[0]
        if name in {"conf", "config"} and isinstance(key, ast.Constant):
            found.add(key.value)
    return sorted({*found, "nn", "nn_port"})  # of the docstring of Knit


def main(root: Path) -> dict[str, Any]:
    """Everything, as it is written."""
    trees = modules(root)
    names: dict[str, Any] = {}
    for module, tree in trees.items():
        names |= names_of(module, tree)
    aliases: dict[str, str] = {}
    for package in PACKAGES:
        aliases |= aliases_of(package, trees[package], names, trees)
    aliases = {name: origin for name, origin in aliases.items() if origin in names}
    while any(origin in aliases for origin in aliases.values()):
        aliases = {name: aliases.get(origin, origin) for name, origin in aliases.items()}
    return {"names": names, "aliases": aliases, "modules": sorted(trees), "settings": settings_of(trees)}


if __name__ == "__main__":
    data = main(Path(sys.argv[1]))
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in data["names"].items()]
    rest = [f" {json.dumps(key)}: {json.dumps(data[key])}" for key in ("aliases", "modules", "settings")]
    print('{\n "names": {\n' + ",\n".join(lines) + "\n },\n" + ",\n".join(rest) + "\n}")
