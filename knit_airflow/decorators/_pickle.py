"""Prepares a DAG's function and its arguments for containers, where Airflow is not installed. Pure.

A function of a DAG file is pickled by value, with the globals that it names. Annotations are removed, as they may name Airflow's
classes. Under the function's own name the plain function replaces the decorated task, so that a recursive function works.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timezone
from typing import Any

from knit_airflow.version_compat import KNOWN_CONTEXT_KEYS, LazyXComSequence

_PLAIN = (str, int, float, bool, bytes, type(None))


def remote(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is pickled; a callable that is not a plain Python function is returned unchanged."""
    if not isinstance(function, types.FunctionType):
        return function
    names = dict(function.__globals__)
    copy = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__module__, copy.__qualname__, copy.__doc__ = function.__module__, function.__qualname__, function.__doc__
    names[function.__name__] = copy
    return copy


def call(function: Callable[..., Any], args: Collection[Any], kwargs: Mapping[str, Any]) -> Callable[[], Any]:
    """The call as a callable without arguments, under the function's name."""
    bound = functools.partial(function, *args, **kwargs)
    functools.update_wrapper(bound, function, assigned=("__name__", "__qualname__", "__doc__"), updated=())
    del bound.__wrapped__  # type: ignore[attr-defined]
    return bound


def arguments_of(
    function: Callable[..., Any], args: Collection[Any], kwargs: Mapping[str, Any], context: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments, with the variables of Airflow's context that the function names.

    Raises:
        FunctionRefused: it names a context variable that exists only in Airflow's own process, such as `ti`.
    """
    import inspect

    from knit_core.errors import FunctionRefused

    given = dict(kwargs)
    names = list(inspect.signature(function).parameters)
    for name in names[len(args) :]:
        if name in given or name not in KNOWN_CONTEXT_KEYS or name not in context:
            continue
        value = plain(context[name])
        if not _can_be_pickled(value):
            raise FunctionRefused(
                f"{function.__name__} names {name!r}, which is an object of Airflow and cannot be pickled for a container. "
                "Pass the needed part as an argument, such as a template: func(run='{{ run_id }}'). Nothing was launched."
            )
        given[name] = value
    return tuple(plain(each) for each in args), {name: plain(value) for name, value in given.items()}


def plain(value: Any) -> Any:
    """The value without Airflow's own types: mapped XComs become lists, times become `datetime`."""
    if isinstance(value, LazyXComSequence):
        return [plain(each) for each in value]
    if isinstance(value, datetime) and type(value) is not datetime:
        moment = datetime.fromisoformat(value.isoformat())
        return moment.astimezone(timezone.utc) if moment.tzinfo is not None else moment
    if isinstance(value, Mapping) and (type(value).__module__ or "").startswith("airflow."):
        return {key: plain(value[key]) for key in value}  # its items() would give Param objects
    if type(value) is dict:
        return {key: plain(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(each) for each in value)
    return value


def _can_be_pickled(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_can_be_pickled(each) for each in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(_can_be_pickled(each) for each in value)
    return isinstance(value, (*_PLAIN, datetime))
