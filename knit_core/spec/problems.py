"""Turns pydantic's validation errors into one SpecError with all problems, and with the most similar keys.

pydantic checks a whole model (contradictions between fields, dependencies between services) only if its parts are valid.
To report all problems at once, invalid values are removed from the data and the rest is validated again.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from knit_core.errors import SpecError

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]
Found = tuple[Location, str]  # location, and the whole sentence
_ROUNDS = 5
MOST_SHOWN = 100  # problems
_COMMAND: Mapping[str, Any] = {"command": "true"}  # replaces a service's invalid or missing command


def validate(model: type[Model], data: Any) -> Model:
    """Build `model` from `data`.

    Args:
        model: the pydantic model.
        data: a mapping with its fields.

    Raises:
        SpecError: the data is not valid; the error has all problems.
    """
    built, found = inspect(model, data)
    if built is None:
        raise SpecError(sentences(found))
    return built


def sentences(found: Sequence[Found], place: Callable[[Location], str] = lambda _location: "") -> list[str]:
    """The problems as sentences, each with its prefix. Of more than a hundred, only the number of the rest."""
    shown = [place(location) + sentence for location, sentence in found[:MOST_SHOWN]]
    return shown + ([f"and {len(found) - MOST_SHOWN} more problems"] if len(found) > MOST_SHOWN else [])


def inspect(model: type[Model], data: Any) -> tuple[Model | None, list[Found]]:
    """`model` built from `data`, or all problems."""
    found: list[Found] = []
    known: set[tuple[Location, str]] = set()
    removed: set[Location] = set()
    for _ in range(_ROUNDS):
        try:
            built = model.model_validate(data)
        except ValidationError as error:
            rows = error.errors(include_url=False)
            new = [row for row in rows if row["loc"] not in removed and (row["loc"], row["msg"]) not in known]
        else:
            return (None if found else built), found
        if not new:
            break
        known |= {(row["loc"], row["msg"]) for row in new}
        found += [(row["loc"], "") if len(found) >= MOST_SHOWN else (row["loc"], _sentence(model, row)) for row in new]
        if any(len(row["loc"]) < 2 and row["loc"] in {(), ("services",)} for row in new):
            break  # the rest cannot be validated
        data = _remove_invalid(data, [row["loc"] for row in new], removed)
    return None, found


def _remove_invalid(data: Any, locations: Iterable[Location], removed: set[Location]) -> Any:
    """A copy of `data` without the invalid values; adds their locations to `removed`."""
    data = _copy(data)
    for location in locations:
        parts = location[: next((i for i, part in enumerate(location) if isinstance(part, int)), len(location))]
        holder, depth = data, 0
        while depth < len(parts) - 1 and isinstance(holder, dict) and isinstance(holder.get(parts[depth]), dict):
            holder, depth = holder[parts[depth]], depth + 1
        if not isinstance(holder, dict) or depth >= len(parts):
            continue
        key = parts[depth]
        if key == "command":
            holder[key] = _COMMAND[key]
        elif parts[:depth] == ("services",):
            holder[key] = dict(_COMMAND)
        elif holder.pop(key, None) is None and depth:
            _remove_parent(data, parts[:depth])
        removed.add(tuple(parts[: depth + 1]))
    return data


def _remove_parent(data: Any, parts: Location) -> None:
    """Remove the value at `parts`, which lacks a required key; a service is kept."""
    if len(parts) == 2 and parts[0] == "services":
        return
    for part in parts[:-1]:
        data = data[part]
    data.pop(parts[-1], None)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(each) for key, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, list) else value


def _sentence(model: type[BaseModel], item: Any) -> str:
    where = shorten(".".join(str(part) for part in item["loc"]), 200, quote=False)
    if item["type"] == "extra_forbidden":
        return f"{where}: unknown key; {_right_key(model, item['loc'])}"
    if item["type"] == "missing":
        return f"{where}: missing"
    if item["type"] in {"model_type", "model_attributes_type"}:
        return f"{where or 'it'}: should be a mapping of names to values, not {_kind(item['input'])}"
    message = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ").removeprefix("Input ")
    if item["type"] in {"enum", "literal_error"}:
        message += _nearest_word(item)
    elif item["type"] == "string_type":
        message = f"should be a text, not {_kind(item['input'])}"
        if isinstance(item["input"], (int, float)):
            message += f": put it in quotes ({str(item['input'])[:40].lower()!r})"
    elif item["type"].endswith(("_type", "_parsing", "_equal", "_than", "_from_float")):
        message += f", not {shorten(item['input'])}"
    message = shorten(message, 1000, quote=False)
    return f"{where}: {message}" if where else message


def _right_key(model: type[BaseModel], location: Location) -> str:
    key, known = str(location[-1]), _fields_at(model, location[:-1])
    near = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.5)
    if not near or near[0] != key:
        service = [] if len(location) > 1 else _fields_at(model, ("services", "main"))
        above = list(model.model_fields) if len(location) == 3 and location[0] == "services" else []
        if key in service:
            return f"it belongs to a service: services.<name>.{key}"
        if key in above:
            return f"it belongs to the application, not to a service: {key}"
    return f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"


def _nearest_word(item: Any) -> str:
    given = str(item["input"])[:100]
    words = [word.strip(" '") for word in item.get("ctx", {}).get("expected", "").replace(" or ", ",").split(",")]
    near = difflib.get_close_matches(given.lower().replace("_", "-"), [w.lower() for w in words], n=1)
    similar = [word for word in words if near and word.lower() == near[0]]
    return f", not {shorten(item['input'])}" + (f"; did you mean {similar[0]!r}?" if similar else "")


def _kind(value: Any) -> str:
    names = {"dict": "a mapping", "list": "a list", "tuple": "a list", "str": "a text", "NoneType": "nothing",
             "bool": "true or false", "int": "a number", "float": "a number"}  # fmt: skip
    return names.get(type(value).__name__, type(value).__name__)


def _fields_at(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """Field names of the (nested) model at `location`."""
    current: Any = model
    for part in location:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            current = field.annotation if field else None
        else:  # a key of a mapping or an index of a list: continue with the type of its elements
            current = next((_model_in(arg) for arg in reversed(get_args(current)) if _model_in(arg)), None)
    found = _model_in(current)
    return list(found.model_fields) if found else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found:
            return found
    return None


def unknown_options(given: Iterable[str], known: Iterable[str], of: str) -> list[str]:
    """A sentence for each unknown keyword argument of a call, with the most similar known one.

    Args:
        given: names of the arguments.
        known: names of all arguments of the call.
        of: name of the call ("Knit.map").
    """
    names, found = list(known), []
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name[:100], names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(names))}"
            found.append(f"{shorten(name)} is no option of {of}; {hint}")
    return found


def shorten(value: Any, most: int = 80, *, quote: bool = True) -> str:
    """A value for a message, cut to at most `most` characters."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 4 * most:
        return "a very large number"
    text = repr(value) if quote else str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def shorten_list(names: Iterable[str], most: int = 20) -> str:
    """Names for a message; of many only the first `most`, and the number of the rest."""
    rows = [shorten(name, 64, quote=False) for name in names]
    return ", ".join(rows[:most]) + (f" and {len(rows) - most} more" if len(rows) > most else "")
