"""Steering: what changes a running application: scale, move, end one container, key-value store, shutdown."""

from __future__ import annotations

import secrets
from functools import cached_property
from typing import TYPE_CHECKING, Any

from knit_container.store import KeyValueStore
from knit_core.errors import QueueRefused, RequestRefused
from knit_core.hadoop.resource_manager import or_empty
from knit_core.preflight import queue_problems

if TYPE_CHECKING:
    from knit_core.client import Knit
    from knit_core.hadoop.application_master import ApplicationMasterClient


class Steering:
    """The part of `Application` that changes it."""

    id: str
    knit: Knit

    if TYPE_CHECKING:

        @property
        def master(self) -> ApplicationMasterClient:
            """Its ApplicationMaster's API."""

    def scale(self, instances: int | None = None, service: str = "main", *, by: int | None = None) -> int:
        """Change how many instances a service has; the new number.

        Args:
            instances: the new number, or
            by: the difference.
            service: which.

        Raises:
            NotFound: no such service.
            RequestRefused: it would have fewer than none, or the application is ending.
        """
        if (instances is None) == (by is None):
            raise ValueError("give instances or by")
        change = {"instances": instances} if by is None else {"by": by}
        found = self.master.put(f"/services/{service}/scale", {**change, "token": secrets.token_hex(16)})
        return int(found["instances"])

    def move(self, queue: str) -> None:
        """Move it to another queue.

        Raises:
            QueueRefused: the queue is not there or does not take it.
        """
        rm = self.knit.resourcemanager
        for problem in queue_problems(queue, or_empty(rm.queues), rm.address, made=False):
            raise QueueRefused(f"{problem} {self.id} stays where it is.", address=rm.address)
        rm.move(self.id, queue)

    def set_priority(self, priority: int) -> None:
        """Give it another priority within its queue."""
        self.knit.resourcemanager.set_priority(self.id, priority)

    @cached_property
    def kv(self) -> KeyValueStore:
        """Its key-value store, shared with its containers (`knit_container.kv`)."""

        def call(method: str, path: str, body: Any, query: dict[str, str], wait: float) -> Any:
            return self.master.call(method, path.removeprefix("/api/v1"), body, query, wait)

        return KeyValueStore(call, RequestRefused, self.knit.clock)

    def kill_container(self, container: str) -> None:
        """End one container (`main_0`, or YARN's id); its instance leaves the service.

        Raises:
            NotFound: no such container.
            RequestRefused: it has ended already.
        """
        self.master.put(f"/containers/{container}/kill", {"token": secrets.token_hex(16)})

    def progress(self, fraction: float) -> None:
        """Set the application's progress, 0.0 to 1.0."""
        self.master.put("/progress", {"progress": fraction})

    def shutdown(self, outcome: str = "SUCCEEDED", diagnostics: str = "") -> None:
        """End it in order with an outcome of the caller's choice (a service that would run for ever, say)."""
        self.master.put("/shutdown", {"outcome": outcome, "diagnostics": diagnostics})
