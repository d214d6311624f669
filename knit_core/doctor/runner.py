"""Runs the check of one layer, with a time-out that holds also where a call of the operating system does not end."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from knit_core.errors import KnitError, WaitTimeout
from knit_core.model.connection_layers import Layer, LayerCheck, failed

S = TypeVar("S")
T = TypeVar("T")
_GRACE = 0.5  # seconds for the calls within a check, which have the same time-out, to end with an error of their own


@dataclass(frozen=True)
class Finding:
    """What the check of a layer found; see `LayerCheck`.

    Attributes:
        text, remedy, details: as there.
        applies: False: the layer does not apply to this cluster.
    """

    text: str
    remedy: str = ""
    details: tuple[str, ...] = ()
    applies: bool = True


class Runner:
    """Runs checks.

    Args:
        timeout: seconds for each check.
        on_start: called with the label of each layer when its check begins.
    """

    def __init__(self, timeout: float, on_start: Callable[[str], None] | None = None) -> None:
        self.timeout = timeout
        self._on_start = on_start

    def begin(self, layer: Layer, server: str = "") -> float:
        """Tell that the check of a layer begins; the present time."""
        if self._on_start is not None:
            self._on_start(f"{server} {layer.name}".strip())
        return time.monotonic()

    def check(self, layer: Layer, work: Callable[[], Finding], server: str = "") -> LayerCheck:
        """The result of a check. `work` raises KnitError when the layer fails."""
        begun = self.begin(layer, server)
        (found,) = in_threads([work], lambda each: each(), self.timeout + _GRACE)
        return self.result(layer, found, server, time.monotonic() - begun)

    def result(self, layer: Layer, found: Finding | Exception, server: str, seconds: float) -> LayerCheck:
        """The result for what a check returned or raised."""
        if isinstance(found, Finding):
            ok = True if found.applies else None
            return LayerCheck(layer.name, ok, found.text, server, found.remedy, seconds, found.details)
        if isinstance(found, TimeoutError):
            found = WaitTimeout(f"no result within {self.timeout:g} s")
        elif not isinstance(found, KnitError):
            found = KnitError(f"a reply that Knit does not understand ({type(found).__name__}: {found})")
        return failed(layer, found, server, remedy=_remedy(found), seconds=seconds)


def in_threads(items: Sequence[S], call: Callable[[S], T], timeout: float) -> list[T | Exception]:
    """The result of `call` for each item, or the exception that it raised; at the same time, in daemon threads.

    A call that does not end in time gives TimeoutError; its thread does not keep the process alive.

    Args:
        items: arguments.
        call: takes one.
        timeout: seconds for all.
    """
    done: queue.SimpleQueue[tuple[int, T | Exception]] = queue.SimpleQueue()

    def run(at: int, item: S) -> None:
        try:
            done.put((at, call(item)))
        except Exception as error:
            done.put((at, error))

    for at, item in enumerate(items):
        threading.Thread(target=run, args=(at, item), name="knit-doctor", daemon=True).start()
    found: dict[int, T | Exception] = {}
    until = time.monotonic() + timeout
    while len(found) < len(items):
        try:
            at, result = done.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            break
        found[at] = result
    return [found.get(at, TimeoutError()) for at in range(len(items))]


def _remedy(error: Exception) -> str:
    """A remedy that is known for this text; empty: none."""
    if "safe mode" in str(error).lower():
        return (
            "wait until the NameNode has left its safe mode (hdfs dfsadmin -safemode get), or ask an administrator why it "
            "does not leave it"
        )
    return ""


__all__ = ["Finding", "Runner", "in_threads"]
