"""Sorts Knit's errors by what Airflow should do, into one tree of exceptions.

AirflowException
├── KnitFailed               .kind, .exit_code, .stderr, .application_id
│   ├── ProgramFailed        the program ended with an exit code that is no success
│   ├── ApplicationWasKilled somebody ended it
│   └── ClusterFailed        lost master, lost nodes, no ResourceManager: not the program's fault
└── AirflowFailException
    └── KnitRefused          the next try would meet it again: no such queue, too large, a missing file; no retries
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from knit_airflow.version_compat import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from knit_core.errors import KnitError

#: YARN's own exit codes of containers that it ended for its own reasons: aborted, disks failed, preempted.
YARN_CODES = frozenset({-100, -101, -102})


class Kind(str, Enum):
    """Whose fault a failure is."""

    PROGRAM = "program"
    KILLED = "killed"
    CLUSTER = "cluster"
    REQUEST = "request"


class KnitFailed(AirflowException):
    """A task of Knit failed in a way that another try may mend; `retries` count, and a `KnitRetryPolicy` decides.

    Attributes:
        kind: whose fault.
        exit_code: of the container that failed first; None when there is none.
        stderr: its last lines.
        application_id: empty when there was none.
    """

    kind = Kind.CLUSTER

    def __init__(
        self, message: str, *, exit_code: int | None = None, stderr: tuple[str, ...] = (), application_id: str = ""
    ) -> None:
        self.exit_code, self.stderr, self.application_id = exit_code, stderr, application_id
        super().__init__(message)


class ProgramFailed(KnitFailed):
    """The program ended with an exit code that is no success."""

    kind = Kind.PROGRAM


class ApplicationWasKilled(KnitFailed):
    """Somebody ended the application."""

    kind = Kind.KILLED


class ClusterFailed(KnitFailed):
    """The cluster's fault, or the network's."""


class KnitRefused(AirflowFailException):
    """The cluster, or Knit itself, refuses it and would again: the task fails without retries."""

    kind = Kind.REQUEST


_CLASSES: dict[Kind, type[KnitFailed]] = {
    Kind.PROGRAM: ProgramFailed,
    Kind.KILLED: ApplicationWasKilled,
    Kind.CLUSTER: ClusterFailed,
}


def kind_of(error: KnitError) -> Kind:
    """Whose fault an error of Knit is.

    An application that failed without a container of the program failing, and left no result, lost its master.
    """
    from knit_core.errors import ApplicationEnded, ApplicationFailed, ApplicationKilled, FunctionFailed

    if isinstance(error, ApplicationKilled):
        return Kind.KILLED
    if isinstance(error, ApplicationFailed):
        result = error.result
        if result is None or not result.complete:
            return Kind.CLUSTER if result is not None else Kind.PROGRAM
        failed = result.first_failure
        return Kind.CLUSTER if failed is not None and failed.exit_code in YARN_CODES else Kind.PROGRAM
    if isinstance(error, FunctionFailed):
        return Kind.PROGRAM
    if error.transient or isinstance(error, ApplicationEnded):
        return Kind.CLUSTER
    return Kind.REQUEST


def airflow_error(error: KnitError) -> AirflowException:
    """The exception to raise in a task for an error of Knit; its text is the error's."""
    kind = kind_of(error)
    if kind is Kind.REQUEST:
        return KnitRefused(str(error))
    result = getattr(error, "result", None)
    return _CLASSES[kind](
        str(error),
        exit_code=getattr(error, "exit_code", None),
        stderr=tuple(getattr(error, "stderr", ())),
        application_id=getattr(result, "id", ""),
    )
