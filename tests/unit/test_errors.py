"""The tree of errors in the docstring is the tree of the classes."""

from __future__ import annotations

import inspect
import re

from knit_core import errors
from knit_core.environments import errors as environment_errors


def _classes() -> dict[str, type]:
    found = {}
    for module in (errors, environment_errors):
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, errors.KnitError) and not name.startswith("_"):
                found[name] = kind
    return found


def _documented() -> tuple[dict[str, str], set[str]]:
    """Parent by name, and the names marked as transient."""
    parents: dict[str, str] = {}
    transient: set[str] = set()
    open_at: dict[int, str] = {0: "KnitError"}
    for line in (errors.__doc__ or "").splitlines():
        found = re.fullmatch(r"    ((?:│   |    )*)[├└]── ([A-Za-z, ]+?)(  .*)?", line)
        if not found:
            continue
        depth = len(found[1]) // 4 + 1
        names = [name.strip() for name in found[2].split(",") if name.strip()]
        for name in names:
            parents[name] = open_at[depth - 1]
            if "(transient)" in line:
                transient.add(name)
        open_at[depth] = names[0]
    return parents, transient


def _parent(kind: type) -> str:
    public = (base for base in kind.__mro__[1:] if issubclass(base, errors.KnitError))
    return next(base.__name__ for base in public if not base.__name__.startswith("_"))


def test_every_class_stands_in_the_tree_where_it_belongs() -> None:
    parents, _ = _documented()
    assert len(parents) > 25
    assert parents == {name: _parent(kind) for name, kind in _classes().items() if name != "KnitError"}


def test_what_is_marked_transient_is() -> None:
    _, transient = _documented()
    assert {"ConnectionFailed", "ServiceUnavailable", "MasterUnreachable"} <= transient
    for name in transient:
        assert _classes()[name].transient, name


def test_what_never_changes_is_not_transient() -> None:
    for name in ("ConfigError", "SpecError", "PreflightError", "RequestRefused", "ApplicationFailed", "StagingError"):
        assert not _classes()[name].transient, name


def test_one_problem_is_a_sentence_and_several_are_a_list() -> None:
    assert str(errors.SpecError(["a: missing"])) == "Bad specification: a: missing"
    assert str(errors.SpecError(["a", "b"])) == "Bad specification:\n  - a\n  - b"
    assert str(errors.PreflightError(["No queue."])) == "No queue. Nothing was uploaded or submitted."
    assert "nothing was uploaded or submitted:\n  - a\n  - b" in str(errors.PreflightError(["a", "b"]))
