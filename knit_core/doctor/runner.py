"""Runs the check of one layer, with a time-out that holds also where a call of the operating system does not end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from knit_core.errors import KnitError, WaitTimeout
from knit_core.model.clock import Clock
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
        clock: measures the time that each takes.
        on_start: called with the label of each layer when its check begins.
    """

    def __init__(self, timeout: float, clock: Clock, on_start: Callable[[str], None] | None = None) -> None:
        self.timeout, self.clock = timeout, clock
        self._on_start = on_start

    def begin(self, layer: Layer, server: str = "") -> float:
        """Tell that the check of a layer begins; the present time."""
        if self._on_start is not None:
            self._on_start(f"{server} {layer.name}".strip())
        return self.clock.monotonic()

    def check(self, layer: Layer, work: Callable[[], Finding], server: str = "") -> LayerCheck:
        """The result of a check. `work` raises KnitError when the layer fails."""
        begun = self.begin(layer, server)
        (found,) = in_threads([work], lambda each: each(), self.timeout + _GRACE)
        return self.result(layer, found, server, self.clock.monotonic() - begun)

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
    found: dict[int, T | Exception] = {}
    done = threading.Event()

    def run(at: int, item: S) -> None:
        try:
            result: T | Exception = call(item)
        except Exception as error:
            result = error
        found[at] = result
        if len(found) == len(items):
            done.set()

    for at, item in enumerate(items):
        threading.Thread(target=run, args=(at, item), name="knit-doctor", daemon=True).start()
    done.wait(timeout)  # not by the client's clock: what does not end is a call of this machine's operating system
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
