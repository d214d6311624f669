"""Every exception that Knit raises, in one tree.

    KnitError
    ├── ConfigError                  a setting is missing, unreadable or contradictory
    │   └── NoClusterFound           no ResourceManager address anywhere; names every place looked at
    ├── SpecError                    what should run is described wrongly; .problems lists all of it
    ├── PreflightError               the cluster cannot run it (queue, size, files); .problems lists all of it
    ├── BadApplicationId             not an application id at all
    ├── ServiceError                 a cluster service was asked and did not do it; .address, .action
    │   ├── ConnectionFailed         no connection, or it broke                            (transient)
    │   ├── ServiceUnavailable       5xx, standby, safe mode, overload                     (transient)
    │   ├── UnexpectedReply          something answered, but not the service that was expected
    │   └── RequestRefused           4xx; .status
    │       ├── NotAuthorized        401, 403, HDFS permission
    │       ├── NotFound             404
    │       │   └── ApplicationNotFound
    │       └── QueueRefused
    ├── StagingError                 a file could not be put on HDFS
    ├── LedgerError                  a launch record contradicts what happened
    ├── EnvironmentFailed            an environment could not be described, built or packed
    │   ├── SolveError               no solution, or a package that no channel has
    │   ├── BadEnvironmentName       a name that cannot be a file name, a label and a URL segment alike
    │   ├── BadArchive               not an archive that YARN unpacks, or no environment in it
    │   ├── BadEnvironmentFile, BadPackageSpec, BadLock, PrefixChanged, ChannelUnreachable, SolverMissing, DiskFull
    │   │                            (knit_core.environments.errors)
    │   └── PlatformMismatch         built for another platform than the nodes'
    ├── FunctionRefused              a function that cannot be sent: not picklable, or another Python there
    ├── FunctionFailed               a function raised something that cannot be brought back; the message and cause say it
    ├── MasterUnreachable            the ApplicationMaster cannot be reached; .stages says how each way failed (transient)
    ├── LogsUnavailable              logs cannot be had; .reason, .missing and .files say which and why
    ├── WaitTimeout                  a deadline passed; the message holds the last known state
    └── ApplicationEnded             waited for a success that did not come; .result, .exit_code
        ├── ApplicationFailed
        ├── ApplicationKilled
        └── ApplicationLost          accepted once, now unknown to YARN and without a result

`transient` tells whether the same call may succeed a little later: Airflow tasks retry those and fail at once on the
rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class KnitError(Exception):
    """Base of all errors; `transient` says whether trying again later makes sense."""

    transient = False


class ConfigError(KnitError):
    """A setting is missing, unreadable or contradictory."""


class NoClusterFound(ConfigError):
    """No ResourceManager address was found; `places` names where it was looked for."""

    def __init__(self, places: Sequence[str]) -> None:
        self.places = list(places)
        looked = "\n".join(f"  - {place}" for place in places)
        super().__init__(
            f"No YARN cluster found. Looked at:\n{looked}\n"
            'Give the ResourceManager\'s address, Knit("http://rm.example.org:8088") or KNIT_RESOURCEMANAGER, '
            "point HADOOP_CONF_DIR at the cluster's configuration, or start one here: knit local up"
        )


class _Problems(KnitError):
    """Several problems said at once."""

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
    """What should run is described wrongly; `problems` holds one sentence each."""

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
    """A service of the cluster was asked to do something and did not."""

    def __init__(self, message: str, *, address: str = "", action: str = "") -> None:
        self.address, self.action = address, action
        super().__init__(message)


class ConnectionFailed(ServiceError):
    """No connection, or it broke before the reply was complete.

    `before_sending` is True when surely nothing was sent; otherwise whether it was carried out is not known.
    """

    transient = True

    def __init__(self, message: str, *, address: str = "", action: str = "", before_sending: bool = False) -> None:
        self.before_sending = before_sending
        super().__init__(message, address=address, action=action)


class ServiceUnavailable(ServiceError):
    """5xx, a standby, safe mode: the service is there but does not serve now.

    `not_carried_out` is True when the service itself said so (standby, 503).
    """

    transient = True

    def __init__(self, message: str, *, address: str = "", action: str = "", not_carried_out: bool = False) -> None:
        self.not_carried_out = not_carried_out
        super().__init__(message, address=address, action=action)


class UnexpectedReply(ServiceError):
    """Something answered, but not like the service that was expected there."""


class RequestRefused(ServiceError):
    """The service understood and refused; `status` is the HTTP status, `exception` the server's own exception name.

    `reply` is what an ApplicationMaster said, as JSON gives it.
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
    """401, 403, or a permission of HDFS."""


class NotFound(RequestRefused):
    """404."""


class ApplicationNotFound(NotFound):
    """The ResourceManager does not know the application and no result of it is kept."""


class QueueRefused(RequestRefused):
    """The queue does not exist, is stopped, is no leaf, or may not be submitted to."""


class StagingError(KnitError):
    """A file could not be put on HDFS, or what lies there is not what was put."""


class LedgerError(KnitError):
    """The launch records and what happened contradict each other."""


class EnvironmentFailed(KnitError):
    """An environment could not be described, built or packed."""


class BadEnvironmentName(EnvironmentFailed, ValueError):
    """The name has characters that a label must not have."""


class BadArchive(EnvironmentFailed, ValueError):
    """The file is not an archive that YARN unpacks, is not there, or the folder is not an environment."""


class SolveError(EnvironmentFailed):
    """No solution, or a package that no channel has: the solver's own words, shortened."""


class PlatformMismatch(EnvironmentFailed):
    """An environment built for another platform than the nodes'."""


class FunctionRefused(KnitError):
    """A function cannot be sent: it is not picklable, or the environment has another Python. Nothing was launched."""


class FunctionFailed(KnitError):
    """A function raised an exception that cannot be brought back; its traceback is the cause."""


class MasterUnreachable(KnitError):
    """The ApplicationMaster cannot be reached; `stages` says how each way failed."""

    transient = True

    def __init__(self, application: str, stages: Sequence[str]) -> None:
        self.stages = list(stages)
        super().__init__(f"The ApplicationMaster of {application} cannot be reached: " + "; ".join(stages))


class MissingLog(NamedTuple):
    """A container whose log could not be had.

    Attributes:
        container, yarn: Knit's name (`main_0`) and YARN's id.
        node: host name.
        why: what is known of it ("its node is LOST"); empty: nothing more than the error's message says.
    """

    container: str
    yarn: str
    node: str
    why: str = ""


class LogsUnavailable(KnitError):
    """Logs cannot be had; what can be had was handed out before.

    Attributes:
        reason: "off" (the cluster aggregates no logs), "incomplete" (some are not there yet: `transient`), "gone" (some
            are not there and will not come), "damaged" (files that cannot be read, or not to their end), "compression"
            (files packed in a way that cannot be read here), "unreachable" (nodes that do not answer), "unknown" (no
            container fits what was asked for).
        missing: the containers without a log, or without all of it.
        files: (path on HDFS, what is wrong with it).
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
        """Whether the same call may give more a little later."""
        return self.reason in {"incomplete", "unreachable"}


class WaitTimeout(KnitError, TimeoutError):
    """A deadline passed; the message holds the last known state. The application goes on."""

    transient = True


class EndedResult(Protocol):
    """What errors tell of a `knit_core.Result`, which stands above this module."""

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
    """An application ended without success; `result` is what is known of it (None when nothing is)."""

    def __init__(self, message: str, result: EndedResult | None = None) -> None:
        self.result = result
        super().__init__(message)

    @property
    def exit_code(self) -> int | None:
        """Exit code of the first container that failed, where one did."""
        return self.result.exit_code if self.result else None


class ApplicationFailed(ApplicationEnded):
    """The program failed; the message names container, host, exit code and the last lines of stderr."""

    @property
    def stderr(self) -> list[str]:
        """Last stderr lines of the first container that failed."""
        failed = self.result.first_failure if self.result else None
        return list(failed.stderr) if failed else []


class ApplicationKilled(ApplicationEnded):
    """Somebody ended it."""


class ApplicationLost(ApplicationEnded):
    """It was accepted once; YARN has forgotten it and it left no result."""

    transient = True
