"""YARN's application states and Knit's outcomes, with the terminal sets defined once."""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """YarnApplicationState, as the ResourceManager's REST API spells it."""

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
        """True in a state that nothing follows."""
        return self in ENDED

    def __str__(self) -> str:
        return self.value


ENDED = frozenset({State.FINISHED, State.FAILED, State.KILLED})
ACTIVE = frozenset(State) - ENDED


class Outcome(str, Enum):
    """How an application ended, for the user: FINISHED says nothing about success, LOST is known to no ResourceManager."""

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
    """States of an instance's container as the ApplicationMaster tells them (docs/protocol.md, section 5)."""

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
        """True when its process is gone for good."""
        return self in {ContainerState.SUCCEEDED, ContainerState.FAILED, ContainerState.KILLED}

    def __str__(self) -> str:
        return self.value
