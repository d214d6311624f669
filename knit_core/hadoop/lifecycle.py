"""Wait for an application by its id, read its result, end it.

`Application` has these calls for users; a launch uses them for the application of an earlier launch.
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

_MIN_KILL_WAIT = 10.0  # seconds


def wait_until(
    cluster: Cluster,
    app_id: str,
    condition: Callable[[ApplicationReport], bool],
    timeout: float | None,
    report: Callable[[], ApplicationReport] | None = None,
) -> ApplicationReport:
    """Wait until `condition` holds for a report or the application has ended; the report.

    Args:
        cluster: where it runs.
        app_id: the application.
        condition: called with each report.
        timeout: seconds; None: no limit.
        report: returns the present report; None: it is fetched from the ResourceManager.

    Raises:
        WaitTimeout: the timeout has passed.
        ApplicationNotFound: the ResourceManager has no record of it.
    """
    clock = cluster.clock
    now = clock.monotonic()
    waiter = Waiter(app_id=app_id, deadline=None if timeout is None else now + timeout, poll=0.5, started=now)
    get_report = report or (lambda: cluster.resourcemanager.app(app_id))
    while True:
        try:
            found = get_report()
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
    """The application's `result.json`; None when there is none.

    Args:
        cluster: where it ran.
        app_id: the application.
        retry: retries of HDFS; None: as for other calls.

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
    """The result of an ended application.

    `result.json` is used only when the last attempt has written it: an earlier attempt may have written one before YARN
    terminated it.

    Args:
        cluster: where it ran.
        app_id: the application.
        report: the final report; None: the ResourceManager has no record of the application.
        retry: retries of HDFS; None: as for other calls.
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
        diagnostics=f"the ResourceManager at {address} has no record of it, and it left no result",
        complete=False,
    )


def end(
    cluster: Cluster,
    app_id: str,
    reason: str = "",
    grace: float = 10.0,
    master: ApplicationMasterClient | None = None,
) -> bool:
    """End an application: its ApplicationMaster shuts down, or YARN kills it after `grace` seconds.

    Args:
        cluster: where it runs.
        app_id: the application.
        reason: becomes part of its diagnostics.
        grace: seconds for the shutdown; 0: kill at once.
        master: its ApplicationMaster's API; None: a new client is made.

    Returns:
        True when it had not ended; False when it had, or the ResourceManager has no record of it.

    Raises:
        NotAuthorized: it belongs to another user.
        WaitTimeout: YARN accepted the kill, but it had not ended `grace` seconds later (at least 10). It will end.
        ConnectionFailed, ServiceUnavailable: the ResourceManager does not answer; it is not known whether the application ends.
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
    grace = max(grace, _MIN_KILL_WAIT)
    try:
        cluster.resourcemanager.kill(app_id, reason)
        wait_until(cluster, app_id, lambda latest: latest.ended, grace)
    except ApplicationNotFound:
        pass
    except WaitTimeout:
        raise WaitTimeout(
            f"{app_id}: YARN accepted the kill, but the application had not ended {grace:g} s later. It ends when the "
            "ResourceManager processes the request: check its state later, or call kill again."
        ) from None
    return True


def _shut_down(master: ApplicationMasterClient, reason: str) -> bool:
    try:
        master.call("PUT", "/shutdown", {"outcome": "KILLED", "diagnostics": reason}, retry_timeout=0)
    except KnitError:
        return False
    return True


__all__ = ["end", "final_result", "read_result", "wait_until"]
