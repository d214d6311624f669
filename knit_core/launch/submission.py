"""The submission: takes effect once even if replies are lost, and is followed until YARN has accepted the application."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from knit_core.errors import (
    ApplicationNotFound,
    ConnectionFailed,
    KnitError,
    NotAuthorized,
    QueueRefused,
    RequestRefused,
    ServiceUnavailable,
)
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.http.retry import NEVER
from knit_core.hadoop.resource_manager import UNLIMITED, ResourceManager, or_empty
from knit_core.model.cluster_facts import Queue
from knit_core.model.report import ApplicationReport
from knit_core.model.states import State
from knit_core.monitoring.refusals import refusal_of
from knit_core.spec import ApplicationSpec

_BEFORE_STORED = {State.NEW, State.NEW_SAVING}
_SETTLE = 3.0  # seconds in which a late refusal by YARN (queue, ACL) becomes visible
_BUDGET, _TRIES = 60.0, 2  # seconds, and at least this many tries: one try may take longer
_LIFETIME_MARGIN = 60.0  # seconds for the ApplicationMaster's orderly end before YARN ends the application


def submit(cluster: Cluster, body: Mapping[str, Any], progress: Callable[[str], None], *, shared: bool = False) -> None:
    """Submit until the ResourceManager has the application.

    After a lost reply it submits again only if the ResourceManager does not know the id.

    Args:
        cluster: the connections.
        body: of the submission (`LaunchPlan.submission`).
        progress: called with one line when a reply is lost.
        shared: another process may have submitted this id already.

    Raises:
        QueueRefused, NotAuthorized, RequestRefused: YARN refused it.
        ConnectionFailed, ServiceUnavailable: the ResourceManager did not answer for a minute.
    """
    rm, app_id, clock = cluster.resourcemanager, str(body["application-id"]), cluster.clock
    deadline, pause, tries = clock.monotonic() + _BUDGET, 0.3, 0
    while True:
        try:
            if tries and _known(rm, app_id):  # the repetition is in this loop, not in the HTTP client
                return
            if shared and not tries:
                rm.check_active(f"submit {app_id}")
            rm.submit(body, NEVER)
            return
        except RequestRefused as error:
            # another process with the same claim submitted it: one submission is enough
            if "already present" in str(error) and _known(rm, app_id):
                return
            raise _explained(error, str(error), rm) or error from None
        except (ConnectionFailed, ServiceUnavailable) as error:
            tries += 1
            if clock.monotonic() > deadline and tries >= _TRIES:
                raise
            progress(f"no answer to the submission ({error}); trying again")
            clock.sleep(pause)
            pause = min(2 * pause, 5.0)


def wait_accepted(cluster: Cluster, body: Mapping[str, Any], progress: Callable[[str], None]) -> bool:
    """Wait until YARN has stored and accepted the application.

    The reply 202 guarantees neither. YARN stores the application after the reply (state NEW_SAVING): if the
    ResourceManager dies before that, its successor does not know the application. It is then submitted again, as Hadoop's
    own YarnClient does. YARN also refuses some applications (queue, ACL) shortly after the reply.

    Args:
        cluster: the connections.
        body: of the submission.
        progress: called with one line when it is submitted again, or when the ResourceManager does not answer for a minute.

    Returns:
        Whether it is known to be stored. False: for a minute the ResourceManager did not answer, or had not stored it.

    Raises:
        QueueRefused, NotAuthorized, RequestRefused: YARN refused it.
        ConnectionFailed, ServiceUnavailable: the ResourceManager lost it, and it could not be submitted again.
        ApplicationNotFound: for a minute the ResourceManager lost it after each submission.
    """
    rm, clock, app_id = cluster.resourcemanager, cluster.clock, str(body["application-id"])
    deadline = clock.monotonic() + _BUDGET
    seen: float | None = None  # when YARN first reported it
    while True:
        try:
            report = rm.app(app_id)
        except ApplicationNotFound:
            if clock.monotonic() > deadline:
                raise
            progress(f"the ResourceManager was restarted before it had stored {app_id}: submitting again")
            submit(cluster, body, progress, shared=True)
            seen, pause = None, 1.0
        except (ConnectionFailed, ServiceUnavailable) as error:
            if clock.monotonic() > deadline:
                progress(f"warning: it is not known whether YARN has stored {app_id}: {error}")
                return False
            pause = 0.3
        else:
            now = clock.monotonic()
            seen = now if seen is None else seen
            stored = report.state not in _BEFORE_STORED
            if stored and report.state is not State.SUBMITTED:
                _raise_refusal(report, rm)
                return True
            if now > deadline or (stored and now - seen > _SETTLE):
                return stored
            pause = 0.02
        clock.sleep(pause)


def _raise_refusal(report: ApplicationReport, rm: ResourceManager) -> None:
    if report.state is not State.FAILED or report.attempt:
        return
    diagnostics = report.diagnostics
    kind = RequestRefused
    if "AccessControlException" in diagnostics or "cannot submit" in diagnostics:
        kind = NotAuthorized
    elif "queue" in diagnostics.lower():
        kind = QueueRefused
    error = kind(f"YARN refused {report.id}: {diagnostics}", address=rm.address, action=f"submit {report.id}")
    raise _explained(error, diagnostics, rm) or error


def _explained(error: RequestRefused, words: str, rm: ResourceManager) -> RequestRefused | None:
    """The error with the reason and the remedy; None when YARN's words do not tell of a queue."""
    if refusal_of(words) is None:
        return None
    queues: list[Queue] = []
    with contextlib.suppress(KnitError):  # the refusal is known without them
        queues = or_empty(rm.queues)
    refusal = refusal_of(words, queues)
    assert refusal is not None
    kind = NotAuthorized if refusal.permission else QueueRefused
    return kind(
        f"{error.action or 'submit'}: YARN at {rm.address} refused it, as {refusal.text}: {refusal.advice}. "
        f"YARN's words: {' '.join(words.split())}",
        status=error.status,
        exception=error.exception,
        address=rm.address,
        action=error.action,
    )


def set_lifetime(
    cluster: Cluster, spec: ApplicationSpec, app_id: str, progress: Callable[[str], None], *, again: bool = False
) -> None:
    """Set the lifetime at the ResourceManager, in case the ApplicationMaster does not end the application earlier.

    The ApplicationMaster ends the application in an orderly way when its lifetime is over; YARN's limit is later.
    Repetition does no harm: the time counts from the submission, by the ResourceManager's clock. After a crash before this
    step, the next launch with the key does it, if no lifetime is set.

    Args:
        cluster: the connections.
        spec: what runs; without a lifetime nothing is done.
        app_id: the application.
        progress: called with a warning when the ResourceManager did not take the lifetime.
        again: set it only if YARN has no lifetime for the application.
    """
    if not spec.lifetime:
        return
    rm = cluster.resourcemanager
    try:
        report = rm.app(app_id)
        if report.ended or report.started_at is None or (again and rm.lifetime(app_id) != UNLIMITED):
            return
        grace = max(service.stop_grace for service in spec.services.values())
        rm.set_lifetime(app_id, report.started_at / 1000 + spec.lifetime + grace + _LIFETIME_MARGIN)
    except KnitError as error:  # the application runs, and the ApplicationMaster knows the lifetime
        progress(f"warning: the lifetime is not set at YARN, only at the ApplicationMaster: {error}")


def _known(rm: ResourceManager, app_id: str) -> bool:
    try:
        rm.app(app_id, NEVER)
    except ApplicationNotFound:
        return False
    return True


__all__ = ["set_lifetime", "submit", "wait_accepted"]
