"""The choice of logs. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from knit_core.errors import LogsUnavailable
from knit_core.model.representation import shown
from knit_core.model.result import Container

STREAMS = ("stdout", "stderr")
MASTER = "master"  # name of the ApplicationMaster's container


@shown
@dataclass(frozen=True)
class Selection:
    """A choice of logs.

    Attributes:
        services, containers: only logs of these; None for all. Containers by Knit's name (all attempts) or YARN's id. The
            ApplicationMaster's logs are included only by name.
        streams: names of log files.
        tail: only the last `tail` lines of each log; None for all.
    """

    services: frozenset[str] | None = None
    containers: frozenset[str] | None = None
    streams: frozenset[str] = frozenset(STREAMS)
    tail: int | None = None

    @classmethod
    def of(
        cls,
        services: Iterable[str] | None = None,
        containers: Iterable[str] | None = None,
        streams: Iterable[str] | None = None,
        tail: int | None = None,
    ) -> Selection:
        """From the arguments of `Application.logs`; ValueError for a negative `tail`, or a string in place of a list."""
        for name, value in (("services", services), ("containers", containers), ("streams", streams)):
            if isinstance(value, str):
                raise ValueError(f"{name} must be a list of names, not one text ({value!r})")
        if tail is not None and tail < 0:
            raise ValueError(f"tail must be a number of lines, not {tail}")
        chosen = frozenset(streams) if streams else frozenset(STREAMS)
        return cls(
            frozenset(services) if services else None, frozenset(containers) if containers else None, chosen, tail
        )

    @property
    def master(self) -> bool:
        """Whether the ApplicationMaster's logs are selected."""
        return self.containers is not None and MASTER in self.containers

    def wants(self, row: Container) -> bool:
        """Whether this container's logs are selected."""
        if self.containers is not None and not self.containers & {row.id, row.yarn}:
            return False
        return self.services is None or row.service in self.services

    def check(self, rows: Iterable[Container]) -> None:
        """Check that the selection matches a container, if there are containers.

        Raises:
            LogsUnavailable: there are containers, and none is selected.
        """
        known = list(rows)
        if not known or self.master or any(self.wants(row) for row in known):
            return
        ids = sorted({row.id for row in known})
        services = sorted({row.service for row in known if row.service})
        asked = sorted(self.containers or self.services or ())
        there = ids if self.containers else services
        near = difflib.get_close_matches(asked[0], there, 1)
        names = (
            f"did you mean {near[0]}?"
            if near
            else f"there are {', '.join(there[:10])}{' …' if len(there) > 10 else ''}"
        )
        raise LogsUnavailable(f"No container matches {', '.join(asked)}: {names}", reason="unknown")
