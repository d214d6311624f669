"""Application: a handle on one launched application. An id, a client and calls; everything is asked afresh."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from knit_container.store import LONGEST_POLL
from knit_core.errors import (
    ApplicationNotFound,
    KnitError,
    MasterUnreachable,
    NotFound,
    WaitTimeout,
)
from knit_core.hadoop.http import RetryPolicy
from knit_core.hadoop.resource_manager import or_empty
from knit_core.model.ids import ApplicationId
from knit_core.model.report import Report
from knit_core.model.representation import Rows, html_facts
from knit_core.model.result import Container, Result
from knit_core.model.service_status import Event, ServiceStatus
from knit_core.model.states import State
from knit_core.model.units import seconds
from knit_core.monitoring.diagnosis import Pending, Why, why_ended, why_no_master, why_running
from knit_core.monitoring.wait import Done, Waiter, drive
from knit_core.reading import Reading
from knit_core.steering import Steering

if TYPE_CHECKING:
    from knit_core.client import Knit
    from knit_core.hadoop.application_master import ApplicationMasterClient

_SHORTEST = 1.0  # seconds


class Application(Steering, Reading):
    """One application on the cluster; get it from `Knit.submit` or `Knit.attach`.

    Attributes:
        id: `application_…`.
        knit: the client it came from.
        submitted: what this process submitted, when it did (a LaunchPlan's description), else None.
    """

    def __init__(self, knit: Knit, app_id: str) -> None:
        self.id = str(ApplicationId.parse(app_id))
        self.knit = knit
        self._master: ApplicationMasterClient | None = None

    def __repr__(self) -> str:
        return f"Application({self.id!r})"

    def _repr_html_(self) -> str:
        """Nothing is asked: a notebook that is opened again must not wait for a cluster."""
        return html_facts("Application", {"id": self.id, "cluster": self.knit.config.settings["resourcemanager"].value})

    # -- what is it doing --------------------------------------------------

    def report(self) -> Report:
        """What the ResourceManager says now.

        Raises:
            ApplicationNotFound: it has forgotten it (`result` may still know how it ended).
        """
        return self.knit.resourcemanager.app(self.id)

    def containers(self, *, patience: float | None = None) -> list[Container]:
        """All its containers: live from the ApplicationMaster, after the end from the result.

        Args:
            patience: seconds for an ApplicationMaster that is being restarted to come back; None: the client's.

        Raises:
            MasterUnreachable: it does not run (yet), and there is no result.
        """
        try:
            rows = self.master.get("/containers", patience=patience)["containers"]
            return Rows(Container.parse(row) for row in rows)
        except MasterUnreachable:
            result = self._read_result()
            if result is None:
                raise
            return Rows(result.containers)

    def details(self) -> dict[str, Any]:
        """The ApplicationMaster's own view (`GET /api/v1/application`)."""
        found: dict[str, Any] = self.master.get("/application")
        return found

    def services(self) -> dict[str, ServiceStatus]:
        """Its services by name, as its ApplicationMaster counts them.

        Raises:
            MasterUnreachable: it does not run (yet, or any more).
        """
        return {name: ServiceStatus.parse(name, row) for name, row in self.details()["services"].items()}

    def pages(self) -> dict[str, str]:
        """Web pages of its containers by name (`knit_container.page`), as addresses for a browser."""
        base = self.report().tracking_url.rstrip("/")
        return {name: f"{base}/pages/{name}{row['path']}" for name, row in self.details()["pages"].items()}

    def events(self, *, after: int = 0, follow: bool = False) -> Iterator[Event]:
        """What happened, oldest first; after its end what `result.json` keeps of it.

        Args:
            after: only events with a greater number.
            follow: go on with those to come, until it ends.

        Raises:
            MasterUnreachable: it has not started yet.
        """
        while True:
            wait = LONGEST_POLL if follow else 0.0
            query = {"after": str(after), **({"wait": str(int(wait))} if follow else {})}
            try:
                found = self.master.get("/events", query, wait)
            except MasterUnreachable:
                result = self._read_result()
                if result is None:
                    raise
                yield from (event for event in map(Event.parse, result.timeline) if event.number > after)
                return
            yield from map(Event.parse, found["events"])
            if not found["events"] and not follow:
                return
            after = found["next"]

    def values(self) -> dict[str, dict[int, Any]]:
        """What containers have returned so far, by service and rank."""
        try:
            found = self.master.get("/result")["results"]
        except MasterUnreachable:
            result = self._read_result()
            if result is None:
                raise
            return {service: dict(ranks) for service, ranks in result.values.items()}
        return {service: {int(rank): value for rank, value in ranks.items()} for service, ranks in found.items()}

    # -- waiting and ending ------------------------------------------------

    def wait(
        self,
        timeout: float | str | None = None,
        *,
        poll: float = 1.0,
        on_report: Callable[[Report], None] | None = None,
        check: bool = True,
    ) -> Result:
        """Wait for the end.

        Args:
            timeout: seconds, or a text such as "1 h"; None: as long as it takes.
            poll: seconds between looks.
            on_report: called with every report.
            check: raise when it did not succeed; otherwise the result is returned whatever it is.

        Raises:
            ApplicationFailed, ApplicationKilled, ApplicationLost: it ended otherwise than well.
            WaitTimeout: the time is over; the application goes on.
        """
        waiter, clock = self._waiter(timeout, poll), self.knit.clock
        report = drive(waiter, self.report, on_report, clock=clock)
        # the NameNode may be away just now: that is forgiven as long as the ResourceManager's faults are
        left = math.inf if waiter.deadline is None else waiter.deadline - (clock.monotonic() - waiter.started)
        reading = RetryPolicy(max(_SHORTEST, min(waiter.patience, left)), clock=clock)
        result = reading.call(lambda: self.conclude(report), idempotent=True)
        return result.raise_for_outcome() if check else result

    def wait_until(self, condition: Callable[[Report], bool], timeout: float | str | None = 60.0) -> Report:
        """Wait until `condition` holds for a report, or it ended; the report.

        Args:
            condition: gets each report.
            timeout: seconds, or a text such as "1 h"; None: as long as it takes.

        Raises:
            WaitTimeout: the time is over.
            ApplicationNotFound: the ResourceManager has forgotten it.
        """
        clock = self.knit.clock
        waiter = self._waiter(timeout, 0.5)
        while True:
            try:
                report = self.report()
            except KnitError as error:
                if isinstance(error, ApplicationNotFound):
                    raise
                step = waiter.on_error(error, clock.monotonic())
            else:
                if condition(report) or report.ended:
                    return report
                step = waiter.on_report(report, clock.monotonic())
            clock.sleep(getattr(step, "seconds", 0.0))

    def wait_until_ready(self, *services: str, timeout: float | str = 300.0) -> dict[str, ServiceStatus]:
        """Wait until services (default: all) are ready or have succeeded; all services as they are then.

        Raises:
            WaitTimeout: the time is over.
            ApplicationFailed, …: it ended before that.
        """
        deadline = self.knit.clock.monotonic() + seconds(timeout)
        self.wait_until(lambda report: report.state is State.RUNNING, timeout)
        after, waiter, rows = 0, self._waiter(None, 1.0), dict[str, ServiceStatus]()
        while True:
            try:
                rows = self.services()
                wanted = [rows[name] for name in services] if services else list(rows.values())
                if all(row.state in {"READY", "SUCCEEDED"} for row in wanted):
                    return rows
                left = max(0.0, min(deadline - self.knit.clock.monotonic(), LONGEST_POLL))
                after = self.master.get("/events", {"after": str(after), "wait": str(int(left))}, left)["next"]
                waiter.faulty_since = None
            except KnitError as error:
                self._bear(error, waiter)
                if isinstance(error, MasterUnreachable):
                    raise
            if self.knit.clock.monotonic() > deadline:
                states = ", ".join(f"{row.name} {row.state}" for row in rows.values()) or "none known"
                raise WaitTimeout(f"{self.id}: not all services were ready within {timeout}: {states}")

    def wait_for_containers(self, count: int | None = None, timeout: float | str = 120.0) -> list[Container]:
        """Wait until `count` containers (default: all that were asked for) run or have run; the containers.

        Raises:
            WaitTimeout: the time is over.
            ApplicationFailed, …: it ended before that.
        """
        deadline = self.knit.clock.monotonic() + seconds(timeout)
        self.wait_until(lambda report: report.state is State.RUNNING, timeout)
        rows, waiter = list[Container](), self._waiter(None, 1.0)
        while True:
            try:
                rows = self.containers()
                begun = [c for c in rows if c.started_at]
                if rows and len(begun) >= (len({c.id for c in rows}) if count is None else count):
                    return rows
                waiter.faulty_since = None
            except KnitError as error:
                self._bear(error, waiter)
            if self.knit.clock.monotonic() > deadline:
                states = ", ".join(f"{c.id} {c.state}" for c in rows) or "none known"
                raise WaitTimeout(f"{self.id}: not all containers have started within {timeout}: {states}")
            self.knit.clock.sleep(0.1)

    def result(self) -> Result | None:
        """How it ended; None while it runs.

        Read from its `result.json`, so it is known when the ResourceManager has forgotten it, too.

        Raises:
            ApplicationNotFound: neither the ResourceManager nor HDFS knows it.
        """
        try:
            report = self.report()
        except ApplicationNotFound:
            found = self._read_result()
            if found is None:
                raise
            return found
        return self.conclude(report) if report.ended else None

    def conclude(self, report: Report | None) -> Result:
        """The result that belongs to a final report (None: YARN has forgotten it).

        A result counts only once YARN says that the application has ended, and only the last attempt's: an attempt
        that was terminated may have written one although another followed.
        """
        found = self._read_result()
        if found is not None and (report is None or not report.attempt or found.attempt >= report.attempt):
            return found
        if report is not None:
            return Result.from_report(report)
        from knit_core.model.states import Outcome

        return Result(
            self.id,
            Outcome.LOST,
            diagnostics=f"the ResourceManager at {self.knit.resourcemanager.address} no longer knows it and it left no result",
            complete=False,
        )

    def kill(self, reason: str = "", grace: float | str = 10.0) -> bool:
        """End it: ask its ApplicationMaster to shut down, after `grace` seconds let YARN kill it.

        Args:
            reason: stands in its diagnostics, whether its ApplicationMaster ends it or YARN.
            grace: seconds (or "30 s") for the orderly end; 0: kill at once.

        Returns:
            True when it was still there to be ended.

        Raises:
            NotAuthorized: it belongs to somebody else.
            WaitTimeout: YARN took the order, and `grace` seconds later (10 at least) it had not ended; it will.
            ConnectionFailed, ServiceUnavailable: the ResourceManager is away; whether it ends is not known.
        """
        try:
            report = self.report()
        except ApplicationNotFound:
            return False
        if report.ended:
            return False
        span = seconds(grace)
        if span > 0 and report.state is State.RUNNING and self._ask_to_stop(reason):
            try:
                self.wait_until(lambda latest: latest.ended, span)
                return True
            except (WaitTimeout, ApplicationNotFound):
                pass
        span = max(span, 10.0)
        try:
            self.knit.resourcemanager.kill(self.id, reason or f"ended by {self.knit.config.user}")
            self.wait_until(lambda latest: latest.ended, span)
        except ApplicationNotFound:
            pass
        except WaitTimeout:
            raise WaitTimeout(
                f"{self.id}: YARN was told to end it and had not done so {span:g} s later. It ends when the "
                "ResourceManager comes to it; look again, or call kill once more."
            ) from None
        return True

    def _ask_to_stop(self, reason: str) -> bool:
        text = reason or f"ended by {self.knit.config.user}"
        try:
            self.master.call("PUT", "/shutdown", {"outcome": "KILLED", "diagnostics": text}, patience=0)
        except KnitError:
            return False
        return True

    def why(self) -> Why:
        """Why it waits, or why it ended, and what to do about it.

        Raises:
            ApplicationNotFound: nobody knows it.
        """
        rm, now = self.knit.resourcemanager, int(self.knit.clock.time() * 1000)
        try:
            report = self.report()
        except ApplicationNotFound:
            result = self.result()
            assert result is not None
            return why_ended(result, None)
        if report.ended:
            return why_ended(self.conclude(report), report)
        nodes = [node for node in or_empty(rm.nodes) if node.running]
        if report.state is State.RUNNING:
            try:
                pending = [Pending.parse(row) for row in rm.pending(self.id)]
                return why_running(report, self.services(), self.containers(), pending, nodes, now)
            except MasterUnreachable as error:
                return Why(f"It runs, but {error}")
        leaves = [queue.path for queue in or_empty(rm.queues) if queue.leaf and queue.running]
        return why_no_master(report, now, nodes, leaves)

    # -- inside ------------------------------------------------------------

    def _bear(self, error: KnitError, waiter: Waiter) -> None:
        """After its ApplicationMaster could not be asked: raises its end, or what does not pass; else pauses."""
        try:
            ended = self.report().ended
        except KnitError as fault:
            error, ended = fault, False
        if ended:
            self.wait(check=True)
            raise error
        step = waiter.on_error(error, self.knit.clock.monotonic())
        if isinstance(step, Done):
            raise error
        self.knit.clock.sleep(step.seconds)

    def _waiter(self, timeout: float | str | None, poll: float) -> Waiter:
        deadline = None if timeout is None else seconds(timeout)
        return Waiter(self.id, deadline, poll, started=self.knit.clock.monotonic())

    @property
    def master(self) -> ApplicationMasterClient:
        """Its ApplicationMaster's API."""
        if self._master is None:
            self._master = self.knit.master_of(self)
        return self._master

    @property
    def folder(self) -> str:
        """Its folder on HDFS."""
        return f"{self.knit.config.staging}/apps/{self.id}"

    def _read_result(self) -> Result | None:
        try:
            raw = self.knit.hdfs.read(f"{self.folder}/result.json")
        except NotFound:
            return None
        if raw is None:
            return None
        try:
            return Result.parse(json.loads(raw))
        except (ValueError, KeyError, TypeError) as error:
            raise KnitError(f"{self.folder}/result.json on HDFS cannot be read: {error!r}") from None
