"""Route: the way from a service's given address to its API."""

from __future__ import annotations

from dataclasses import dataclass

from knit_core.model.representation import shown


@shown
@dataclass(frozen=True)
class Route:
    """Where a service's API is.

    Attributes:
        base: base URL.
        left_out: the beginning of paths that is not there (`/ws` of Knox's RESOURCEMANAGER).
        service: the name of the gateway's service ("YARNUI"); empty: the address is not Knox's.
        lacks: what that service does not lead to, as sentences with the remedies.
    """

    base: str
    left_out: str = ""
    service: str = ""
    lacks: tuple[str, ...] = ()

    def url(self, path: str) -> str:
        """The URL of a path of the service's own server."""
        return self.base.rstrip("/") + path.removeprefix(self.left_out)


__all__ = ["Route"]
