"""Shared by all parts of a specification: the base model, types of amounts, checks of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from knit_core.model.representation import one_line
from knit_core.model.units import mebibytes, seconds

MAX_INT = 2**31 - 1
LONGEST_ARGUMENT = 128 * 1024 - 1  # maximum bytes of one argument or variable on Linux (MAX_ARG_STRLEN)
MOST_ARGUMENTS = 1 << 20  # bytes of command and variables; Linux allows 2 MiB, which includes all other variables
LONGEST_NAME = 255  # bytes of a file's name (NAME_MAX)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")  # unpacked by YARN's FSDownload

Problem = tuple[tuple[str | int, ...], str]  # location (field, key, index …) and message


def _reject_bool(value: Any) -> Any:
    """Reject booleans: pydantic would take `instances: true` as 1."""
    if isinstance(value, bool):
        raise ValueError(f"should be a whole number, not {str(value).lower()}")
    return value


Whole = Annotated[int, BeforeValidator(_reject_bool)]
Memory = Annotated[int, BeforeValidator(mebibytes), Field(ge=1, le=MAX_INT)]
Span = Annotated[float, BeforeValidator(seconds), Field(ge=0, le=1e10)]


class Strict(BaseModel):
    """Base model: unknown keys are errors, and instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __repr__(self) -> str:
        """The fields that are set; of variables only the names, since values may be confidential."""
        given = ((name, getattr(self, name)) for name in type(self).model_fields if name in self.model_fields_set)
        return one_line(type(self).__name__, [(name, _public(name, value)) for name, value in given])

    __str__ = __repr__


def _public(name: str, value: Any) -> Any:
    return list(value) if name == "variables" and isinstance(value, Mapping) else value


def refuse(problems: Iterable[Problem]) -> None:
    """Raise problems from a validator, each with its own location. No effect without problems.

    Raises:
        ValidationError: pydantic prepends the validator's location to each problem.
    """
    lines = [
        InitErrorDetails(type=PydanticCustomError("knit", "{text}", {"text": text}), loc=where, input=None)
        for where, text in problems
    ]
    if lines:
        raise ValidationError.from_exception_data("specification", lines)


def text(value: str, what: str) -> str:
    """Check that a text can be part of a file and of a command line.

    Raises:
        ValueError: it has a NUL character, is not valid Unicode, or is too long.
    """
    if "\0" in value:
        raise ValueError(f"{what} cannot contain a NUL character")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(f"{what} is not valid Unicode: it was decoded from bytes that are not UTF-8")
    size = len(value.encode())
    if size > LONGEST_ARGUMENT:
        raise ValueError(f"{what} has {size} bytes, Linux allows {LONGEST_ARGUMENT}: put it into a file of `files`")
    return value
