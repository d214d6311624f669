"""Failover: sends a request to the addresses of a service in turn, beginning with the one that served last."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from knit_core.errors import KnitError

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """An error after which another address of the service may serve.

    Attributes:
        reason: for the log; without secrets.
        standby: the server answered that it does not serve.
        repeatable: the request may be sent to another address: it was not carried out, or a repetition is harmless.
    """

    reason: str
    standby: bool
    repeatable: bool


class Failover:
    """The addresses of one service, and which of them served last; thread-safe.

    Args:
        addresses: the given base URLs.
        others: returns further addresses of the service, when none of those known serves; called with whether one of them
            answered, as a standby. None: there are no others.
    """

    def __init__(self, addresses: Sequence[str], others: Callable[[bool], Iterable[str]] | None = None) -> None:
        self._known = tuple(addresses)
        self._others = others
        self._current = 0
        self._lock = threading.Lock()
        self._thread = threading.local()

    @property
    def addresses(self) -> tuple[str, ...]:
        """All known base URLs."""
        return self._known

    @property
    def address(self) -> str:
        """The address that the next request is sent to first."""
        return self._known[self._current % len(self._known)]

    @property
    def looking_up(self) -> bool:
        """Whether this thread is asking for further addresses: its requests are a part of one that is repeated itself."""
        return getattr(self._thread, "looking_up", False)

    def call(self, send: Callable[[str], T], failure_of: Callable[[Exception, str], Failure | None], action: str) -> T:
        """Send a request to each address once, until one serves.

        Args:
            send: sends it to a base URL.
            failure_of: judges an error of `send` and a base URL; None: no other address is tried.
            action: for the log.

        Raises:
            Exception: the error of the address that was tried last.
        """
        tried: list[str] = []
        standby = False
        while True:
            base = self._untried(tried)
            try:
                return send(base)
            except Exception as error:
                failure = failure_of(error, base)
                if failure is None:
                    raise
                tried.append(base)
                standby = standby or failure.standby
                if failure.repeatable and not self._untried(tried):
                    self._look_up(standby, base)
                self._leave(base)
                following = self._untried(tried)
                if not failure.repeatable or not following:
                    raise
                log.info("%s: %s; the next address is %s", action, failure.reason, following)

    def _untried(self, tried: Sequence[str]) -> str:
        """The first address, from the one that served last on, that is not among `tried`; empty when all are."""
        known = self._known
        at = self._current % len(known)
        return next((each for each in (*known[at:], *known[:at]) if each not in tried), "")

    def _leave(self, base: str) -> None:
        """Begin with the next address from now on, unless another thread has left this one already."""
        with self._lock:
            if self.address == base:
                self._current = (self._current + 1) % len(self._known)

    def _look_up(self, standby: bool, base: str) -> None:
        """Add the service's further addresses behind the one that failed. None of http to one of https: that was not asked for."""
        if self._others is None or self.looking_up:
            return
        self._thread.looking_up = True
        try:
            found = list(self._others(standby))
        except KnitError:  # it needs a service that does not answer
            return
        finally:
            self._thread.looking_up = False
        with self._lock:
            known = self._known
            secure = known[0].startswith("https:")
            allowed = [each for each in dict.fromkeys(found) if each.startswith("https:") or not secure]
            new = [each for each in allowed if each not in known]
            at = known.index(base) + 1
            if at <= self._current:  # another thread has gone on: the address that served last stays
                self._current += len(new)
            self._known = (*known[:at], *new, *known[at:])


__all__ = ["Failover", "Failure"]
