"""The job file: a function and its arguments, pickled before the launch. Also reads the pickled outcomes."""

from __future__ import annotations

import inspect
import json
import math
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from knit_container.functions import JOB
from knit_core.errors import FunctionFailed, FunctionRefused
from knit_core.functions.modules import own_modules_by_value
from knit_core.model.representation import shown

_CHUNKS_PER_WORKER = 4
_STAMP = (2020, 1, 1, 0, 0, 0)


class RemoteTraceback(Exception):
    """The traceback in the container of a function's exception, as the cause of that exception."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)

    def __str__(self) -> str:
        return f"\n{self.text}"


@shown
@dataclass(frozen=True)
class FunctionJob:
    """The calls of a function.

    Attributes:
        function: the function.
        calls: positional arguments of each call.
        chunk: number of calls that a worker takes at once.
        each: each container makes one call, that of its rank; otherwise the containers share the calls.
    """

    function: Callable[..., Any]
    calls: Sequence[tuple[Any, ...]]
    chunk: int = 1
    each: bool = False

    @classmethod
    def of_map(cls, function: Callable[..., Any], items: Iterable[Any], workers: int, chunk: int | None) -> FunctionJob:
        """`function(item)` for each item, shared by `workers` containers.

        Raises:
            FunctionRefused: the function cannot be called like this, or a number is not valid.
        """
        _check_count("workers", workers)
        if chunk is not None:
            _check_count("chunk", chunk)
        _check_callable(function)
        calls = [(item,) for item in items]
        for call in calls[:1]:
            _check_call(function, call)
        return cls(function, calls, chunk or max(1, math.ceil(len(calls) / (workers * _CHUNKS_PER_WORKER))))

    @classmethod
    def of_call(cls, function: Callable[..., Any], arguments: tuple[Any, ...], instances: int) -> FunctionJob:
        """`function(*arguments)` in each of `instances` containers.

        Raises:
            FunctionRefused: the function cannot be called like this, or the number is not valid.
        """
        _check_count("instances", instances)
        _check_callable(function)
        _check_call(function, arguments)
        return cls(function, [arguments] * instances, each=True)

    @property
    def name(self) -> str:
        """The function's own name."""
        return getattr(self.function, "__qualname__", type(self.function).__name__).rpartition(".")[2].strip("<>")

    @property
    def chunks(self) -> int:
        """The number of chunks."""
        return math.ceil(len(self.calls) / self.chunk)

    def write(self, folder: Path, *, fatal: bool = False) -> Path:
        """Pickle the function and its arguments into a file in `folder`; returns its path.

        Args:
            folder: an existing folder.
            fatal: whether an exception of the function ends the application as failed.

        Raises:
            FunctionRefused: the function or an argument cannot be pickled.
        """
        path = folder / JOB
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            python = ".".join(map(str, sys.version_info[:2]))
            header = {"python": python, "chunks": self.chunks, "each": self.each, "fatal": fatal}
            _add(archive, "job.json", json.dumps(header, sort_keys=True).encode())
            _add(archive, "function", _pickled(self.function, f"the function {self.name}"))
            for number in range(self.chunks):
                some = self.calls[number * self.chunk : (number + 1) * self.chunk]
                _add(archive, f"chunks/{number}", _pickled(list(some), f"an argument of {self.name}"))
            _add_cloudpickle(archive)
        return path


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise FunctionRefused(f"{name} must be a whole number of at least 1, not {value!r:.80}. Nothing was launched.")


def _check_callable(function: Any) -> None:
    """Refuse values that are not a plain function: they would fail in every container."""
    if not callable(function):
        raise FunctionRefused(
            f"a function is required, not {function!r:.80} ({type(function).__name__}). For a command use "
            "Knit.submit. Nothing was launched."
        )
    for wrong, kind in ((inspect.iscoroutinefunction, "async"), (inspect.isgeneratorfunction, "a generator")):
        if wrong(function):
            name = getattr(function, "__qualname__", function)
            raise FunctionRefused(
                f"{name} is {kind}: its return value cannot be pickled. Wrap it in a function that returns "
                f"{'asyncio.run(…)' if kind == 'async' else 'list(…)'}. Nothing was launched."
            )


def _check_call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # some functions in C have no signature
    try:
        signature.bind(*arguments)
    except TypeError as error:
        name = getattr(function, "__qualname__", type(function).__name__)
        raise FunctionRefused(
            f"{name}{signature} cannot be called with {len(arguments)} positional argument{'s' * (len(arguments) != 1)}: "
            f"{error}. Pass keyword arguments with functools.partial. Nothing was launched."
        ) from None


def _pickled(value: Any, what: str) -> bytes:
    import cloudpickle

    try:
        with own_modules_by_value():
            found: bytes = cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # an object's own pickling may raise any exception
        raise FunctionRefused(
            f"{what} cannot be pickled ({type(error).__name__}: {error}). Open files, connections and locks must be "
            "created inside the function. Nothing was launched."
        ) from error
    return found


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _STAMP)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)


def _add_cloudpickle(archive: zipfile.ZipFile) -> None:
    """Add cloudpickle to the job file: unpickling needs it, and the environment may lack it."""
    import cloudpickle

    folder = Path(cloudpickle.__file__).parent
    for path in sorted(folder.glob("*.py")):
        _add(archive, f"lib/cloudpickle/{path.name}", path.read_bytes())


def outcome(stream: BinaryIO) -> tuple[str, Any]:
    """The next outcome in a chunk's file: ("value", …) or ("error", (exception or None, summary, traceback))."""
    found: tuple[str, Any] = pickle.load(stream)
    return found


def exception_of(error: tuple[BaseException | None, str, str]) -> Exception:
    """The exception of a call, with the traceback in the container as its cause."""
    original, summary, text = error
    raised = original if isinstance(original, Exception) else FunctionFailed(f"The function raised {summary}")
    raised.__cause__ = RemoteTraceback(text)
    return raised


__all__ = ["FunctionJob", "RemoteTraceback", "exception_of", "outcome"]
