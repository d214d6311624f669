"""What the public calls take and return is exported where its users look for it."""

from __future__ import annotations

import inspect
import re

import knit_core
from knit_core import Application, Knit

#: Parts for those who reach below the public calls; `Cluster` names them.
PARTS = {
    "ApplicationMasterClient",
    "Clock",
    "Config",
    "HttpService",
    "KeyValueStore",
    "Ledger",
    "ResourceManager",
    "Staging",
    "UserKey",
    "WebHdfs",
}
PLAIN = {
    "Any",
    "Callable",
    "Exception",
    "Iterable",
    "Iterator",
    "Mapping",
    "None",
    "PathLike",
    "Progress",
    "Sequence",
    "Unpack",
}


def _names(owner: type) -> dict[str, set[str]]:
    """Class names in the annotations of public members, with the members that have them."""
    found: dict[str, set[str]] = {}
    for name, member in vars(owner).items():
        if name.startswith("_"):
            continue
        function = member.fget if isinstance(member, property) else getattr(member, "func", member)
        for text in inspect.get_annotations(function).values() if callable(function) else ():
            for each in re.findall(r"\b[A-Z]\w+", str(text)):
                found.setdefault(each, set()).add(f"{owner.__name__}.{name}")
    return found


def test_what_public_calls_take_and_return_is_exported() -> None:
    for owner in (Knit, Application):
        names = _names(owner)
        assert {"Result", "Application", "ApplicationReport"} & {*names}, "annotations are read"
        missing = {name: where for name, where in names.items() if name not in {*knit_core.__all__, *PARTS, *PLAIN}}
        assert missing == {}


def test_every_exported_name_is_there_and_documented() -> None:
    for name in knit_core.__all__:
        value = getattr(knit_core, name)
        assert value.__doc__, name
        if inspect.isclass(value):
            assert not value.__doc__.startswith(f"{name}("), f"{name} has only the docstring that dataclasses write"
