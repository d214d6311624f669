"""Every exception that Knit raises, in one tree.

    KnitError
    ├── ConfigError                  a setting is missing, unreadable or contradictory
    │   └── NoClusterFound           no place names a ResourceManager; the message lists the places
    ├── SpecError                    the specification is invalid; .problems lists all reasons
    ├── PreflightError               the cluster cannot run it (queue, size, files); .problems lists all reasons
    ├── BadApplicationId             the text is not an application id
    ├── ServiceError                 a request to a service of the cluster failed; .address, .action
    │   ├── ConnectionFailed         no connection, or it broke                            (transient)
    │   ├── ServiceUnavailable       5xx, standby, safe mode, overload                     (transient)
    │   ├── UnexpectedReply          another server than the expected one replied
    │   └── RequestRefused           4xx; .status
    │       ├── NotAuthorized        401, 403, permission of HDFS or of a queue
    │       ├── NotFound             404
    │       │   └── ApplicationNotFound
    │       └── QueueRefused
    ├── StagingError                 a file could not be put on HDFS
    ├── LedgerError                  a launch record contradicts what happened
    ├── EnvironmentFailed            an environment could not be described, built or packed
    │   ├── SolveError               no solution, or a package that no channel has
    │   ├── BadEnvironmentName       the name is not valid as file name, label and URL segment
    │   ├── BadArchive               not an archive that YARN unpacks, or it contains no environment
    │   ├── BadEnvironmentFile, BadPackageSpec, BadLock, PrefixChanged, ChannelUnreachable, SolverMissing, DiskFull
    │   │                            (knit_core.environments.errors)
    │   └── PlatformMismatch         built for another platform than that of the nodes
    ├── FunctionRefused              the function cannot be sent: not picklable, or the containers have another Python
    ├── FunctionFailed               the function raised an exception that cannot be unpickled; see message and cause
    ├── MasterUnreachable            the ApplicationMaster cannot be reached; .stages has the fault of each route (transient)
    ├── LogsUnavailable              logs are missing or cannot be read: .reason, .missing, .files
    ├── WaitTimeout                  a timeout has passed; the message has the last known state
    └── ApplicationEnded             an application ended without success; .result, .exit_code
        ├── ApplicationFailed
        ├── ApplicationKilled
        └── ApplicationLost          the ResourceManager has no record of it any more, and it left no result

`transient` is True when the same call may succeed later: Airflow tasks are retried then, and fail at once after other
errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class KnitError(Exception):
    """Base of all errors; `transient` is True when the same call may succeed later."""

    transient = False


class ConfigError(KnitError):
    """A setting is missing, unreadable or contradictory."""


class NoClusterFound(ConfigError):
    """No place names a ResourceManager; `places` lists them."""

    def __init__(self, places: Sequence[str]) -> None:
        self.places = list(places)
        listed = "\n".join(f"  - {place}" for place in places)
        super().__init__(
            f"No YARN cluster found. Looked at:\n{listed}\n"
            'Give the ResourceManager\'s address, Knit("http://rm.example.org:8088") or KNIT_RESOURCEMANAGER, '
            "point HADOOP_CONF_DIR at the cluster's configuration, or start one here: knit local up"
        )


class _Problems(KnitError):
    """Several problems in one error."""

    heading = ""

    def __init__(self, problems: Sequence[str], heading: str | None = None) -> None:
        self.problems = list(problems)
        heading = self.heading if heading is None else heading
        if len(self.problems) == 1:
            text = f"{heading}: {self.problems[0]}" if heading else self.problems[0]
        else:
            text = f"{heading or 'Problems'}:\n" + "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(text)


class SpecError(_Problems):
    """The specification is invalid; `problems` has a sentence for each reason."""

    heading = "Bad specification"


class PreflightError(_Problems):
    """The cluster cannot run this; found before anything was uploaded or submitted."""

    heading = "The cluster cannot run this; nothing was uploaded or submitted"

    def __str__(self) -> str:
        if len(self.problems) == 1:
            stop = "" if self.problems[0].endswith((".", "!", "?")) else "."
            return f"{self.problems[0]}{stop} Nothing was uploaded or submitted."
        return super().__str__()


class BadApplicationId(KnitError, ValueError):
    """The text is not an application id."""


class ServiceError(KnitError):
    """A request to a service of the cluster failed."""

    def __init__(self, message: str, *, address: str = "", action: str = "") -> None:
        self.address, self.action = address, action
        super().__init__(message)


class ConnectionFailed(ServiceError):
    """No connection was made, or it broke before the reply was complete.

    `before_sending` is True when it is certain that nothing was sent; otherwise the request may have been carried out.
    """

    transient = True

    def __init__(self, message: str, *, address: str = "", action: str = "", before_sending: bool = False) -> None:
        self.before_sending = before_sending
        super().__init__(message, address=address, action=action)


class ServiceUnavailable(ServiceError):
    """5xx, a standby, safe mode: the service runs but does not serve requests now.

    `not_carried_out` is True when the reply of the service means that (standby, 503).
    """

    transient = True

    def __init__(self, message: str, *, address: str = "", action: str = "", not_carried_out: bool = False) -> None:
        self.not_carried_out = not_carried_out
        super().__init__(message, address=address, action=action)


class UnexpectedReply(ServiceError):
    """The reply is not that of the expected service."""


class RequestRefused(ServiceError):
    """The service refused the request; `status` is the HTTP status, `exception` the name of the server's exception.

    `reply` is the JSON reply of an ApplicationMaster.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        exception: str = "",
        address: str = "",
        action: str = "",
        reply: object = None,
    ) -> None:
        self.status, self.exception, self.reply = status, exception, reply
        super().__init__(message, address=address, action=action)


class NotAuthorized(RequestRefused):
    """401, 403, or a permission of HDFS or of a queue."""


class NotFound(RequestRefused):
    """404."""


class ApplicationNotFound(NotFound):
    """The ResourceManager has no record of the application, and HDFS has no result of it."""


class QueueRefused(RequestRefused):
    """The queue does not exist, is stopped, is full, or only contains other queues; or the cluster's rules refuse it."""


class StagingError(KnitError):
    """A file could not be uploaded to HDFS, or differs there from what was uploaded."""


class LedgerError(KnitError):
    """The launch records contradict the state of the application."""


class EnvironmentFailed(KnitError):
    """An environment could not be described, built or packed."""


class BadEnvironmentName(EnvironmentFailed, ValueError):
    """The name has characters that are not allowed in a label."""


class BadArchive(EnvironmentFailed, ValueError):
    """The file does not exist or is not an archive that YARN unpacks, or the folder is not an environment."""


class SolveError(EnvironmentFailed):
    """No solution, or a package that no channel has. The message is the solver's, shortened."""


class PlatformMismatch(EnvironmentFailed):
    """The environment was built for another platform than that of the nodes."""


class FunctionRefused(KnitError):
    """The function cannot be sent: it is not picklable, or the environment has another Python. Nothing was launched."""


class FunctionFailed(KnitError):
    """The function raised an exception that cannot be unpickled here; its traceback is the cause."""


class MasterUnreachable(KnitError):
    """The ApplicationMaster cannot be reached; `stages` has the fault of each route."""

    transient = True

    def __init__(self, application: str, stages: Sequence[str]) -> None:
        self.stages = list(stages)
        super().__init__(f"The ApplicationMaster of {application} cannot be reached: " + "; ".join(stages))


class MissingLog(NamedTuple):
    """A container without a readable log.

    Attributes:
        container, yarn: Knit's name (`main_0`) and YARN's id.
        node: host name.
        why: the reason ("its node is LOST"); empty: only the error's message is known.
    """

    container: str
    yarn: str
    node: str
    why: str = ""


class LogsUnavailable(KnitError):
    """Logs are missing or cannot be read; all available lines were returned before.

    Attributes:
        reason: "off" (the cluster does not aggregate logs), "incomplete" (some are not uploaded yet: `transient`), "gone"
            (some do not exist and will not be uploaded), "damaged" (files that cannot be read completely), "compression"
            (a compression that cannot be read here), "unreachable" (nodes that do not answer), "unknown" (no container
            matches the selection).
        missing: the containers without a complete log.
        files: (path on HDFS, fault).
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "damaged",
        missing: Sequence[MissingLog] = (),
        files: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.reason, self.missing, self.files = reason, tuple(missing), tuple(files)
        super().__init__(message)

    @property
    def transient(self) -> bool:  # type: ignore[override]
        """Whether the same call may return more later."""
        return self.reason in {"incomplete", "unreachable"}


class WaitTimeout(KnitError, TimeoutError):
    """A timeout has passed; the message has the last known state. The application continues."""

    transient = True


class EndedResult(Protocol):
    """The fields of `knit_core.Result` that errors use. This module must not import it."""

    @property
    def complete(self) -> bool: ...

    @property
    def outcome(self) -> Any: ...

    @property
    def exit_code(self) -> int | None: ...

    @property
    def diagnostics(self) -> str: ...

    @property
    def containers(self) -> Sequence[Any]: ...

    @property
    def value(self) -> Any: ...

    @property
    def first_failure(self) -> Any: ...


class ApplicationEnded(KnitError):
    """An application ended without success; `result` is its result, None when it is not known."""

    def __init__(self, message: str, result: EndedResult | None = None) -> None:
        self.result = result
        super().__init__(message)

    @property
    def exit_code(self) -> int | None:
        """Exit code of the first container that failed; None when none did."""
        return self.result.exit_code if self.result else None


class ApplicationFailed(ApplicationEnded):
    """The program failed; the message names container, host, exit code and the last lines of stderr."""

    @property
    def stderr(self) -> list[str]:
        """Last lines of stderr of the first container that failed."""
        failed = self.result.first_failure if self.result else None
        return list(failed.stderr) if failed else []


class ApplicationKilled(ApplicationEnded):
    """The application was killed."""


class ApplicationLost(ApplicationEnded):
    """The application was accepted; the ResourceManager has no record of it any more, and it left no result."""

    transient = True
