"""The submission itself, and what follows it: made once although replies are lost, and followed until YARN has accepted it."""

from __future__ import annotations

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
from knit_core.hadoop.resource_manager import UNLIMITED, ResourceManager
from knit_core.model.report import ApplicationReport
from knit_core.model.states import State
from knit_core.spec import ApplicationSpec

_BEFORE_STORED = {State.NEW, State.NEW_SAVING}
_SETTLE = 3.0  # seconds in which a submission that YARN refuses late (queue, ACL) shows it
_BUDGET, _TRIES = 60.0, 2  # seconds, and at least so often: one try may take longer
_LIFETIME_MARGIN = 60.0  # seconds that the ApplicationMaster has for an orderly end before YARN ends the application


def submit(cluster: Cluster, body: Mapping[str, Any], say: Callable[[str], None], *, shared: bool = False) -> None:
    """Submit until it is certain. After a doubt only when the ResourceManager has said that it does not know the id.

    Args:
        cluster: where.
        body: of the submission (`LaunchPlan.submission`).
        say: gets a line when a reply is in doubt.
        shared: another process may have submitted this id already.

    Raises:
        RequestRefused: YARN refuses it.
        ConnectionFailed, ServiceUnavailable: the ResourceManager did not answer for a minute.
    """
    rm, app_id, clock = cluster.resourcemanager, str(body["application-id"]), cluster.clock
    deadline, pause, tries = clock.monotonic() + _BUDGET, 0.3, 0
    while True:
        try:
            if tries and _known(rm, app_id):  # tried again here, once for all of it
                return
            if shared and not tries:
                rm.check_active(f"submit {app_id}")
            rm.submit(body, NEVER)
            return
        except RequestRefused as error:
            # another process with the same claim submits it at this moment: both are done when YARN has it
            if "already present" in str(error) and _known(rm, app_id):
                return
            raise
        except (ConnectionFailed, ServiceUnavailable) as error:
            tries += 1
            if clock.monotonic() > deadline and tries >= _TRIES:
                raise
            say(f"submission in doubt ({error}); trying again")
            clock.sleep(pause)
            pause = min(2 * pause, 5.0)


def wait_accepted(cluster: Cluster, body: Mapping[str, Any], say: Callable[[str], None]) -> bool:
    """Wait until YARN has stored and accepted the application.

    The 202 promises neither: YARN stores the application after it (NEW_SAVING), so one that the ResourceManager had not
    stored when it died is unknown to its successor and is submitted once more, as Hadoop's own YarnClient does. And YARN
    refuses some (queue, ACL) a moment later.

    Args:
        cluster: where.
        body: of the submission.
        say: gets a line when it is submitted again, or when the ResourceManager does not answer for a minute.

    Returns:
        Whether it is known to be stored. False: the ResourceManager did not answer, or had not stored it, for a minute.

    Raises:
        QueueRefused, NotAuthorized, RequestRefused: YARN refused it.
        ConnectionFailed, ServiceUnavailable: it was lost, and could not be submitted again.
        ApplicationNotFound: the ResourceManager took it and lost it again and again for a minute.
    """
    rm, clock, app_id = cluster.resourcemanager, cluster.clock, str(body["application-id"])
    deadline = clock.monotonic() + _BUDGET
    seen: float | None = None  # since when YARN shows it
    while True:
        try:
            report = rm.app(app_id)
        except ApplicationNotFound:
            if clock.monotonic() > deadline:
                raise
            say(f"the ResourceManager was restarted before it had stored {app_id}: submitting it again")
            submit(cluster, body, say, shared=True)
            seen, pause = None, 1.0
        except (ConnectionFailed, ServiceUnavailable) as error:
            if clock.monotonic() > deadline:
                say(f"warning: whether {app_id} is stored is not known: {error}")
                return False
            pause = 0.3
        else:
            now = clock.monotonic()
            seen = now if seen is None else seen
            stored = report.state not in _BEFORE_STORED
            if stored and report.state is not State.SUBMITTED:
                _raise_refusal(report, rm.address)
                return True
            if now > deadline or (stored and now - seen > _SETTLE):
                return stored
            pause = 0.02
        clock.sleep(pause)


def _raise_refusal(report: ApplicationReport, address: str) -> None:
    if report.state is not State.FAILED or report.attempt:
        return
    words = report.diagnostics
    kind = RequestRefused
    if "AccessControlException" in words or "cannot submit" in words:
        kind = NotAuthorized
    elif "queue" in words.lower():
        kind = QueueRefused
    raise kind(f"YARN refused {report.id}: {words}", address=address, action=f"submit {report.id}")


def set_lifetime(
    cluster: Cluster, spec: ApplicationSpec, app_id: str, say: Callable[[str], None], *, again: bool = False
) -> None:
    """Have YARN end the application, should its ApplicationMaster not do so (it ends it in good order, a little earlier).

    Doing it twice does no harm: the time is counted from the submission, by the ResourceManager's clock. A crash before it
    leaves that to the next launch with the key, which sets it only where nobody has set one.

    Args:
        cluster: where it runs.
        spec: what runs; without a lifetime nothing is done.
        app_id: the application.
        say: gets a warning when YARN was not told.
        again: only where no lifetime is set.
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
    except KnitError as error:  # the application runs, and its ApplicationMaster knows its lifetime
        say(f"warning: YARN was not told the lifetime, only the ApplicationMaster knows it: {error}")


def _known(rm: ResourceManager, app_id: str) -> bool:
    try:
        rm.app(app_id, NEVER)
    except ApplicationNotFound:
        return False
    return True


__all__ = ["set_lifetime", "submit", "wait_accepted"]
