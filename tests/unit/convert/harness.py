"""Shared by the tests of converters."""

from __future__ import annotations

from typing import Any

import pytest

from knit_core.convert import Conversion, Source, convert
from knit_core.errors import SpecError
from knit_core.spec import ApplicationSpec
from knit_core.spec.documents import loads


def converted(text: str, *more: tuple[str, str], name: str = "file", kind: str = "") -> Conversion:
    """The conversion of a text; its written forms are valid specifications and equal it."""
    conversion = convert([Source(name, text), *(Source(*each) for each in more)], kind)
    assert loads(conversion.text()) == conversion.spec
    assert loads(conversion.text("json"), kind="json") == conversion.spec
    assert isinstance(conversion.spec, ApplicationSpec)
    return conversion


def lost(conversion: Conversion) -> dict[str, int]:
    """What was lost, with its lines."""
    return {loss.what: loss.line for loss in conversion.lost}


def refused(text: str, *more: tuple[str, str], name: str = "file", kind: str = "") -> list[str]:
    """The reasons for which a text is refused."""
    with pytest.raises(SpecError) as caught:
        convert([Source(name, text), *(Source(*each) for each in more)], kind)
    return caught.value.problems


def set_fields(conversion: Conversion, service: str) -> dict[str, Any]:
    """The fields of a service that are set."""
    fields: dict[str, Any] = conversion.document["services"][service]
    return fields
