"""What is done with an application by its id: wait for a condition, read how it ended, end it.

`Application` offers these calls to users; a launch needs them for the application of an earlier launch.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from knit_core.errors import ApplicationNotFound, KnitError, NotFound, WaitTimeout
from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.http import RetryPolicy
from knit_core.model.report import ApplicationReport
from knit_core.model.result import Result
from knit_core.model.states import Outcome, State
from knit_core.monitoring.wait import Waiter

_LEAST_KILL = 10.0  # seconds that YARN has to end an application


def wait_until(
    cluster: Cluster,
    app_id: str,
    condition: Callable[[ApplicationReport], bool],
    timeout: float | None,
    report: Callable[[], ApplicationReport] | None = None,
) -> ApplicationReport:
    """Wait until `condition` holds for a report, or the application ended; the report.

    Args:
        cluster: where it runs.
        app_id: which application.
        condition: gets each report.
        timeout: seconds; None: as long as it takes.
        report: returns the present report; None: the ResourceManager is asked.

    Raises:
        WaitTimeout: the time is over.
        ApplicationNotFound: the ResourceManager has forgotten it.
    """
    clock = cluster.clock
    now = clock.monotonic()
    waiter = Waiter(app_id=app_id, deadline=None if timeout is None else now + timeout, poll=0.5, started=now)
    find = report or (lambda: cluster.resourcemanager.app(app_id))
    while True:
        try:
            found = find()
        except KnitError as error:
            if isinstance(error, ApplicationNotFound):
                raise
            step = waiter.on_error(error, clock.monotonic())
        else:
            if condition(found) or found.ended:
                return found
            step = waiter.on_report(found, clock.monotonic())
        clock.sleep(getattr(step, "seconds", 0.0))


def read_result(cluster: Cluster, app_id: str, retry: RetryPolicy | None = None) -> Result | None:
    """The application's `result.json`; None when it left none.

    Args:
        cluster: where it ran.
        app_id: which application.
        retry: how long HDFS may be away; None: as for every call.

    Raises:
        KnitError: it cannot be parsed.
    """
    path = f"{cluster.application_folder(app_id)}/result.json"
    try:
        raw = (cluster.hdfs if retry is None else cluster.hdfs.waiting(retry)).read(path)
    except NotFound:
        return None
    if raw is None:
        return None
    try:
        return Result.parse(json.loads(raw))
    except (ValueError, KeyError, TypeError) as error:
        raise KnitError(f"{path} on HDFS cannot be read: {error!r}") from None


def final_result(
    cluster: Cluster, app_id: str, report: ApplicationReport | None, retry: RetryPolicy | None = None
) -> Result:
    """The result that belongs to a final report.

    A result counts only once YARN says that the application has ended, and only the last attempt's: an attempt that was
    terminated may have written one although another followed.

    Args:
        cluster: where it ran.
        app_id: which application.
        report: the ResourceManager's last; None: it has forgotten the application.
        retry: how long HDFS may be away; None: as for every call.
    """
    found = read_result(cluster, app_id, retry)
    if found is not None and (report is None or not report.attempt or found.attempt >= report.attempt):
        return found
    if report is not None:
        return Result.from_report(report)
    address = cluster.resourcemanager.address
    return Result(
        app_id,
        Outcome.LOST,
        diagnostics=f"the ResourceManager at {address} no longer knows it and it left no result",
        complete=False,
    )


def end(
    cluster: Cluster,
    app_id: str,
    reason: str = "",
    grace: float = 10.0,
    master: ApplicationMasterClient | None = None,
) -> bool:
    """End an application: ask its ApplicationMaster to shut down, after `grace` seconds let YARN kill it.

    Args:
        cluster: where it runs.
        app_id: which application.
        reason: stands in its diagnostics, whether its ApplicationMaster ends it or YARN.
        grace: seconds for the orderly end; 0: kill at once.
        master: its ApplicationMaster's API; None: a new client is made.

    Returns:
        True when it was still there to be ended.

    Raises:
        NotAuthorized: it belongs to somebody else.
        WaitTimeout: YARN took the order, and `grace` seconds later (10 at least) it had not ended; it will.
        ConnectionFailed, ServiceUnavailable: the ResourceManager is away; whether it ends is not known.
    """
    try:
        report = cluster.resourcemanager.app(app_id)
    except ApplicationNotFound:
        return False
    if report.ended:
        return False
    reason = reason or f"ended by {cluster.config.user}"
    asked = grace > 0 and report.state is State.RUNNING
    if asked and _shut_down(master or cluster.application_master(app_id), reason):
        try:
            wait_until(cluster, app_id, lambda latest: latest.ended, grace)
            return True
        except (WaitTimeout, ApplicationNotFound):
            pass
    grace = max(grace, _LEAST_KILL)
    try:
        cluster.resourcemanager.kill(app_id, reason)
        wait_until(cluster, app_id, lambda latest: latest.ended, grace)
    except ApplicationNotFound:
        pass
    except WaitTimeout:
        raise WaitTimeout(
            f"{app_id}: YARN was told to end it and had not done so {grace:g} s later. It ends when the "
            "ResourceManager comes to it; look again, or call kill once more."
        ) from None
    return True


def _shut_down(master: ApplicationMasterClient, reason: str) -> bool:
    try:
        master.call("PUT", "/shutdown", {"outcome": "KILLED", "diagnostics": reason}, retry_timeout=0)
    except KnitError:
        return False
    return True


__all__ = ["end", "final_result", "read_result", "wait_until"]
