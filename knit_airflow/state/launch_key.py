"""Which launch a run of a task belongs to: the same one again (a retry), or a new one (a clear). Pure.

Airflow starts a task's code for four reasons: the first try, a retry, a clear by a person, a resume after a deferral.
The key of the launch is a random nonce in the task's state store, which outlives retries and clears alike, so a retry
finds its launch and Knit's ledger decides whether to attach or to launch anew. A clear has to be noticed: Airflow
raises `max_tries` then. That alone is not enough, as edited retries can bring the old value back; so a launch whose
result was delivered and whose DAG run was cleared since counts as cleared too.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

#: Where the record lies in the task's state store.
STORE_KEY = "knit_launch"


@dataclass(frozen=True)
class Launch:
    """What a task remembers of its launch.

    Attributes:
        key: launch key given to Knit, a random nonce; never made of anything that Airflow counts.
        max_tries: Airflow's `max_tries` when the key was made.
        clears: the DAG run's `clear_number` then.
        delivered: the result was handed to Airflow.
    """

    key: str
    max_tries: int
    clears: int
    delivered: bool = False

    def to_json(self) -> dict[str, Any]:
        """For the state store."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Any) -> Launch | None:
        """From the state store; None for anything that is no such record."""
        if not isinstance(stored, Mapping) or not isinstance(stored.get("key"), str):
            return None
        return cls(
            key=stored["key"],
            max_tries=int(stored.get("max_tries", 0)),
            clears=int(stored.get("clears", 0)),
            delivered=bool(stored.get("delivered")),
        )

    def done(self) -> Launch:
        """The same launch, its result delivered."""
        return replace(self, delivered=True)


@dataclass(frozen=True)
class Decision:
    """The launch to use; `superseded` is the key of an earlier launch that a clear has made worthless."""

    launch: Launch
    superseded: str | None = None


def decide(stored: Launch | None, *, max_tries: int, clears: int) -> Decision:
    """Continue the stored launch or begin a new one.

    Parameters:
        stored: what the state store holds.
        max_tries: Airflow's, now.
        clears: the DAG run's `clear_number`, now.
    """
    fresh = Launch(key=secrets.token_hex(16), max_tries=max_tries, clears=clears)
    if stored is None:
        return Decision(fresh)
    cleared = stored.max_tries != max_tries or (stored.delivered and stored.clears != clears)
    return Decision(fresh, superseded=stored.key) if cleared else Decision(stored)
