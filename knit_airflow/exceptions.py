"""Maps Knit's errors to exceptions of Airflow, by what Airflow should do.

AirflowException
├── KnitFailed               .kind, .exit_code, .stderr, .application_id
│   ├── ProgramFailed        the program ended with an exit code that means failure
│   ├── ApplicationWasKilled a user or an administrator killed it
│   └── ClusterFailed        ApplicationMaster or nodes lost, no ResourceManager: not caused by the program
└── AirflowFailException
    └── KnitRefused          every try would fail: no such queue, too large, a missing file; no retries
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from knit_airflow.version_compat import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from knit_core.errors import KnitError

#: Exit codes of containers that YARN itself ended: aborted, disks failed, preempted.
YARN_CODES = frozenset({-100, -101, -102})


class Kind(str, Enum):
    """What caused a failure."""

    PROGRAM = "program"
    KILLED = "killed"
    CLUSTER = "cluster"
    REQUEST = "request"


class KnitFailed(AirflowException):
    """A task of Knit failed, and another try may succeed; `retries` count, and a `KnitRetryPolicy` decides.

    Attributes:
        kind: the cause.
        exit_code: of the container that failed first; None: no container failed.
        stderr: its last lines.
        application_id: empty when there was no application.
    """

    kind = Kind.CLUSTER

    def __init__(
        self, message: str, *, exit_code: int | None = None, stderr: tuple[str, ...] = (), application_id: str = ""
    ) -> None:
        self.exit_code, self.stderr, self.application_id = exit_code, stderr, application_id
        super().__init__(message)


class ProgramFailed(KnitFailed):
    """The program ended with an exit code that means failure."""

    kind = Kind.PROGRAM


class ApplicationWasKilled(KnitFailed):
    """The application was killed by a user or an administrator."""

    kind = Kind.KILLED


class ClusterFailed(KnitFailed):
    """The cluster or the network failed."""


class KnitRefused(AirflowFailException):
    """The cluster, or Knit itself, would refuse every try: the task fails without retries."""

    kind = Kind.REQUEST


_CLASSES: dict[Kind, type[KnitFailed]] = {
    Kind.PROGRAM: ProgramFailed,
    Kind.KILLED: ApplicationWasKilled,
    Kind.CLUSTER: ClusterFailed,
}


def kind_of(error: KnitError) -> Kind:
    """What caused an error of Knit.

    An application that failed without a failed container, and left no result, has lost its ApplicationMaster.
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
    """The exception to raise in a task for an error of Knit, with the error's text."""
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
