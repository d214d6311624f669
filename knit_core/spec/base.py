"""What all parts of a specification share: strict models, amounts, and the checks of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from knit_core.model.representation import one_line
from knit_core.model.units import mebibytes, seconds

MAX_INT = 2**31 - 1
LONGEST_ARGUMENT = 128 * 1024 - 1  # bytes of one argument or variable that Linux takes (MAX_ARG_STRLEN)
MOST_ARGUMENTS = 1 << 20  # bytes of command and variables together; Linux takes 2 MiB with all that is there already
LONGEST_NAME = 255  # bytes of a file's name (NAME_MAX)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")  # what YARN's FSDownload unpacks

Problem = tuple[tuple[str | int, ...], str]  # where (field, key, index …) and what is wrong there


def _no_truth(value: Any) -> Any:
    """`instances: true` would count as 1."""
    if isinstance(value, bool):
        raise ValueError(f"should be a whole number, not {str(value).lower()}")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth)]
Memory = Annotated[int, BeforeValidator(mebibytes), Field(ge=1, le=MAX_INT)]
Span = Annotated[float, BeforeValidator(seconds), Field(ge=0, le=1e10)]


class Strict(BaseModel):
    """Knows its keys and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __repr__(self) -> str:
        """What was given; of variables, which may hold what is nobody's business, the names only."""
        given = ((name, getattr(self, name)) for name in type(self).model_fields if name in self.model_fields_set)
        return one_line(type(self).__name__, [(name, _public(name, value)) for name, value in given])

    __str__ = __repr__


def _public(name: str, value: Any) -> Any:
    return list(value) if name == "variables" and isinstance(value, Mapping) else value


def refuse(problems: Iterable[Problem]) -> None:
    """From inside a validator: say several problems, each with its own place; nothing happens when there are none.

    Raises:
        ValidationError: pydantic puts the validator's own place before each.
    """
    lines = [
        InitErrorDetails(type=PydanticCustomError("knit", "{text}", {"text": text}), loc=where, input=None)
        for where, text in problems
    ]
    if lines:
        raise ValidationError.from_exception_data("specification", lines)


def text(value: str, what: str) -> str:
    """A text that a file and a command line can hold.

    Raises:
        ValueError: with a NUL character, no Unicode, or too long.
    """
    if "\0" in value:
        raise ValueError(f"{what} cannot contain a NUL character")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(f"{what} is not valid Unicode: bytes that are no UTF-8 were read as text")
    size = len(value.encode())
    if size > LONGEST_ARGUMENT:
        raise ValueError(f"{what} has {size} bytes, Linux takes {LONGEST_ARGUMENT}: put it into a file of `files`")
    return value
