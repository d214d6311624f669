"""States of applications and containers, and outcomes."""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """YarnApplicationState, as in the ResourceManager's REST API."""

    NEW = "NEW"
    NEW_SAVING = "NEW_SAVING"
    SUBMITTED = "SUBMITTED"
    ACCEPTED = "ACCEPTED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def ended(self) -> bool:
        """Whether it is a final state."""
        return self in ENDED

    def __str__(self) -> str:
        return self.value


ENDED = frozenset({State.FINISHED, State.FAILED, State.KILLED})
ACTIVE = frozenset(State) - ENDED


class Outcome(str, Enum):
    """How an application ended. YARN's state FINISHED does not imply success.

    LOST: the ResourceManager has no record of the application.
    """

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    KILLED = "KILLED"
    LOST = "LOST"

    def __str__(self) -> str:
        return self.value


def outcome_of(state: State, final_status: str) -> Outcome | None:
    """The outcome that the ResourceManager's `state` and `finalStatus` mean; None while it runs.

    FINISHED with UNDEFINED (an ApplicationMaster that unregistered without a status) counts as failed.
    """
    if not state.ended:
        return None
    if state is State.KILLED or final_status == "KILLED":
        return Outcome.KILLED
    if state is State.FINISHED and final_status == "SUCCEEDED":
        return Outcome.SUCCEEDED
    return Outcome.FAILED


class ContainerState(str, Enum):
    """States of an instance's container in the ApplicationMaster's API (docs/protocol.md, section 5)."""

    WAITING = "WAITING"
    REQUESTED = "REQUESTED"
    HELD = "HELD"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    KILLED = "KILLED"

    @property
    def ended(self) -> bool:
        """Whether it is a final state."""
        return self in {ContainerState.SUCCEEDED, ContainerState.FAILED, ContainerState.KILLED}

    def __str__(self) -> str:
        return self.value
