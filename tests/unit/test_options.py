"""The typed keyword arguments are the models' fields, and what is deprecated says so."""

from __future__ import annotations

import typing
import warnings
from typing import Any

import pytest

from knit_core import ApplicationSpec, Knit, Service
from knit_core.errors import SpecError
from knit_core.model.deprecation import deprecated
from knit_core.spec.options import ApplicationOptions, CallOptions, ServiceOptions, SubmitOptions


def test_the_options_are_the_fields_of_the_models() -> None:
    assert {*ServiceOptions.__annotations__} | {"instances"} == {*Service.model_fields, "env"} - {"command"}
    assert {*ApplicationOptions.__annotations__} == {*ApplicationSpec.model_fields} - {"services"}
    assert {*SubmitOptions.__annotations__} == {*CallOptions.__annotations__, "instances"}
    assert typing.get_origin(ServiceOptions.__annotations__["memory"]) is None  # text: nothing is evaluated at import


def test_a_deprecated_name_works_and_warns_at_the_users_line() -> None:
    @deprecated("old()", "new()")
    def old(value: int) -> int:
        """Old."""
        return value + 1

    with pytest.warns(DeprecationWarning, match=r"old\(\) is deprecated .*: use new\(\)") as caught:
        assert old(1) == 2
    assert caught[0].filename == __file__
    assert old.__doc__ == "Old."


def test_run_takes_a_command_and_forwards_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    knit, called = Knit("http://127.0.0.1:9", user="alice"), list[Any]()
    monkeypatch.setattr(knit, "call", lambda *arguments, **options: called.append((arguments, options)))
    with pytest.warns(DeprecationWarning, match="Knit.call") as caught:
        knit.run(len, "abc", instances=2, timeout=8)  # type: ignore[call-arg]
    assert called == [((len, "abc"), {"instances": 2, "timeout": 8})]
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match="one command"):
            knit.run("echo", "hello")
        with pytest.raises(SpecError, match=r"'keeep' is no option of Knit\.run; did you mean 'keep'"):
            knit.run("echo", keeep=True)  # type: ignore[call-arg]
