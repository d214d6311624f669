"""Application: a handle on one launched application. An id, a cluster and calls; everything is asked afresh.

One file above 400 lines, because one class is what its users have in hands; most of the lines are its documentation.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from knit_container.store import LONGEST_POLL, KeyValueStore
from knit_core.errors import (
    ApplicationNotFound,
    KnitError,
    MasterUnreachable,
    QueueRefused,
    RequestRefused,
    WaitTimeout,
)
from knit_core.hadoop import lifecycle
from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.http import RetryPolicy
from knit_core.hadoop.resource_manager import or_empty
from knit_core.model.ids import ApplicationId
from knit_core.model.report import ApplicationReport
from knit_core.model.representation import Rows, html_facts
from knit_core.model.result import Container, Result
from knit_core.model.service_status import Event, ServiceStatus
from knit_core.model.states import State
from knit_core.model.units import seconds
from knit_core.monitoring.diagnosis import Pending, Why, why_ended, why_no_master, why_running
from knit_core.monitoring.wait import Done, Waiter, drive
from knit_core.preflight import queue_problems

if TYPE_CHECKING:
    from knit_core.logs import LogCursor, LogFile, LogLine, LogWatch

_SHORTEST = 1.0  # seconds


class Application:
    """One application on the cluster; get it from `Knit.submit` or `Knit.attach`.

    Attributes:
        id: `application_…`.
        cluster: where it runs.
    """

    def __init__(self, cluster: Cluster, app_id: str) -> None:
        self.id = str(ApplicationId.parse(app_id))
        self.cluster = cluster

    def __repr__(self) -> str:
        return f"Application({self.id!r})"

    def _repr_html_(self) -> str:
        """Nothing is asked: a notebook that is opened again must not wait for a cluster."""
        return html_facts(
            "Application", {"id": self.id, "cluster": self.cluster.config.settings["resourcemanager"].value}
        )

    # -- what is it doing --------------------------------------------------

    def report(self) -> ApplicationReport:
        """What the ResourceManager says now.

        Raises:
            ApplicationNotFound: it has forgotten it (`result` may still know how it ended).
        """
        return self.cluster.resourcemanager.app(self.id)

    def containers(self, *, retry_timeout: float | None = None) -> list[Container]:
        """All its containers: live from the ApplicationMaster, after the end from the result.

        Args:
            retry_timeout: seconds for an ApplicationMaster that is being restarted to come back; None: the client's.

        Raises:
            MasterUnreachable: it does not run (yet), and there is no result.
        """
        try:
            rows = self.master.get("/containers", retry_timeout=retry_timeout)["containers"]
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
        on_report: Callable[[ApplicationReport], None] | None = None,
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
        waiter, clock = self._waiter(timeout, poll), self.cluster.clock
        report = drive(waiter, self.report, on_report, clock=clock)
        # the NameNode may be away just now: that is forgiven as long as the ResourceManager's faults are
        left = math.inf if waiter.deadline is None else waiter.deadline - clock.monotonic()
        reading = RetryPolicy(max(_SHORTEST, min(waiter.retry_timeout, left)), clock=clock)
        result = lifecycle.final_result(self.cluster, self.id, report, reading)
        return result.raise_for_outcome() if check else result

    def wait_until(
        self, condition: Callable[[ApplicationReport], bool], timeout: float | str | None = 60.0
    ) -> ApplicationReport:
        """Wait until `condition` holds for a report, or it ended; the report.

        Args:
            condition: gets each report.
            timeout: seconds, or a text such as "1 h"; None: as long as it takes.

        Raises:
            WaitTimeout: the time is over.
            ApplicationNotFound: the ResourceManager has forgotten it.
        """
        limit = None if timeout is None else seconds(timeout)
        return lifecycle.wait_until(self.cluster, self.id, condition, limit, self.report)

    def wait_until_ready(self, *services: str, timeout: float | str = 300.0) -> dict[str, ServiceStatus]:
        """Wait until services (default: all) are ready or have succeeded; all services as they are then.

        Raises:
            WaitTimeout: the time is over.
            ApplicationFailed, …: it ended before that.
        """
        deadline = self.cluster.clock.monotonic() + seconds(timeout)
        self.wait_until(lambda report: report.state is State.RUNNING, timeout)
        after, waiter, rows = 0, self._waiter(None, 1.0), dict[str, ServiceStatus]()
        while True:
            try:
                rows = self.services()
                wanted = [rows[name] for name in services] if services else list(rows.values())
                if all(row.state in {"READY", "SUCCEEDED"} for row in wanted):
                    return rows
                left = max(0.0, min(deadline - self.cluster.clock.monotonic(), LONGEST_POLL))
                after = self.master.get("/events", {"after": str(after), "wait": str(int(left))}, left)["next"]
                waiter.recovered()
            except KnitError as error:
                self._bear(error, waiter)
                if isinstance(error, MasterUnreachable):
                    raise
            if self.cluster.clock.monotonic() > deadline:
                states = ", ".join(f"{row.name} {row.state}" for row in rows.values()) or "none known"
                raise WaitTimeout(f"{self.id}: not all services were ready within {timeout}: {states}")

    def wait_for_containers(self, count: int | None = None, timeout: float | str = 120.0) -> list[Container]:
        """Wait until `count` containers (default: all that were asked for) run or have run; the containers.

        Raises:
            WaitTimeout: the time is over.
            ApplicationFailed, …: it ended before that.
        """
        deadline = self.cluster.clock.monotonic() + seconds(timeout)
        self.wait_until(lambda report: report.state is State.RUNNING, timeout)
        rows, waiter = list[Container](), self._waiter(None, 1.0)
        while True:
            try:
                rows = self.containers()
                begun = [c for c in rows if c.started_at]
                if rows and len(begun) >= (len({c.id for c in rows}) if count is None else count):
                    return rows
                waiter.recovered()
            except KnitError as error:
                self._bear(error, waiter)
            if self.cluster.clock.monotonic() > deadline:
                states = ", ".join(f"{c.id} {c.state}" for c in rows) or "none known"
                raise WaitTimeout(f"{self.id}: not all containers have started within {timeout}: {states}")
            self.cluster.clock.sleep(0.1)

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
        return self.final_result(report) if report.ended else None

    def final_result(self, report: ApplicationReport | None) -> Result:
        """The result that belongs to a final report (None: YARN has forgotten it).

        A result counts only once YARN says that the application has ended, and only the last attempt's: an attempt
        that was terminated may have written one although another followed.
        """
        return lifecycle.final_result(self.cluster, self.id, report)

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
        return lifecycle.end(self.cluster, self.id, reason, seconds(grace), self.master)

    def why(self) -> Why:
        """Why it waits, or why it ended, and what to do about it.

        Raises:
            ApplicationNotFound: nobody knows it.
        """
        rm, now = self.cluster.resourcemanager, int(self.cluster.clock.time() * 1000)
        try:
            report = self.report()
        except ApplicationNotFound:
            result = self.result()
            assert result is not None
            return why_ended(result, None)
        if report.ended:
            return why_ended(self.final_result(report), report)
        nodes = [node for node in or_empty(rm.nodes) if node.running]
        if report.state is State.RUNNING:
            try:
                pending = [Pending.parse(row) for row in rm.pending(self.id)]
                return why_running(report, self.services(), self.containers(), pending, nodes, now)
            except MasterUnreachable as error:
                return Why(f"It runs, but {error}")
        leaves = [queue.path for queue in or_empty(rm.queues) if queue.leaf and queue.running]
        return why_no_master(report, now, nodes, leaves)

    # -- changing it -------------------------------------------------------

    def scale(self, instances: int | None = None, service: str = "main", *, by: int | None = None) -> int:
        """Change how many instances a service has; the new number.

        Args:
            instances: the new number, or
            by: the difference.
            service: which.

        Raises:
            NotFound: no such service.
            RequestRefused: it would have fewer than none, or the application is ending.
        """
        if (instances is None) == (by is None):
            raise ValueError("give instances or by")
        change = {"instances": instances} if by is None else {"by": by}
        found = self.master.put(f"/services/{service}/scale", {**change, "token": secrets.token_hex(16)})
        return int(found["instances"])

    def move(self, queue: str) -> None:
        """Move it to another queue.

        Raises:
            QueueRefused: the queue is not there or does not take it.
        """
        rm = self.cluster.resourcemanager
        for problem in queue_problems(queue, or_empty(rm.queues), rm.address, made=False):
            raise QueueRefused(f"{problem} {self.id} stays where it is.", address=rm.address)
        rm.move(self.id, queue)

    def set_priority(self, priority: int) -> None:
        """Give it another priority within its queue."""
        self.cluster.resourcemanager.set_priority(self.id, priority)

    @cached_property
    def kv(self) -> KeyValueStore:
        """Its key-value store, shared with its containers (`knit_container.kv`)."""

        def call(method: str, path: str, body: Any, query: dict[str, str], wait: float) -> Any:
            return self.master.call(method, path.removeprefix("/api/v1"), body, query, wait)

        return KeyValueStore(call, RequestRefused, self.cluster.clock)

    def kill_container(self, container: str) -> None:
        """End one container (`main_0`, or YARN's id); its instance leaves the service.

        Raises:
            NotFound: no such container.
            RequestRefused: it has ended already.
        """
        self.master.put(f"/containers/{container}/kill", {"token": secrets.token_hex(16)})

    def progress(self, fraction: float) -> None:
        """Set the application's progress, 0.0 to 1.0."""
        self.master.put("/progress", {"progress": fraction})

    def shutdown(self, outcome: str = "SUCCEEDED", diagnostics: str = "") -> None:
        """End it in order with an outcome of the caller's choice (a service that would run for ever, say)."""
        self.master.put("/shutdown", {"outcome": outcome, "diagnostics": diagnostics})

    # -- logs --------------------------------------------------------------

    def logs(
        self,
        follow: bool = False,
        *,
        services: Iterable[str] | None = None,
        containers: Iterable[str] | None = None,
        streams: Iterable[str] | None = None,
        tail: int | None = None,
        cursor: LogCursor | None = None,
        timeout: float | str = 60.0,
    ) -> Iterator[LogLine]:
        """Lines of all containers' stdout and stderr, each labelled with its container.

        Args:
            follow: go on until the application ends; otherwise what is there now.
            services: only of these.
            containers: only of these: `main_0` (all attempts of it), YARN's ids, `master` for the ApplicationMaster.
            streams: names of log files; stdout and stderr by default.
            tail: only the last so many lines of each stream, of what is there at the beginning.
            cursor: where to go on; it is moved as lines are handed out.
            timeout: seconds to wait for the aggregated logs after the end.

        Raises:
            LogsUnavailable: something is missing or cannot be read (`reason`, `missing`, `files`); what can be had was
                handed out before.
            ValueError: a negative `tail`, or a text where a list belongs.
        """
        from knit_core.logs import LogReader, Selection

        selection = Selection.of(services, containers, streams, tail)
        return LogReader(self, selection, cursor, seconds(timeout)).lines(follow)

    def log_files(
        self,
        *,
        services: Iterable[str] | None = None,
        containers: Iterable[str] | None = None,
        streams: Iterable[str] | None = None,
        timeout: float | str = 60.0,
    ) -> Iterator[LogFile]:
        """Whole logs, byte for byte, as they are now: one for each container and stream.

            for file in app.log_files():
                print(file.container, file.stream, file.size, sum(map(len, file)))

        Args:
            services, containers, streams, timeout: as for `logs`.

        Raises:
            LogsUnavailable: as for `logs`.
        """
        from knit_core.logs import Selection, log_files

        return log_files(self, Selection.of(services, containers, streams), seconds(timeout))

    def watch_logs(self, cursor: LogCursor | None = None) -> LogWatch:
        """For looking at its logs again and again while it runs, a bounded amount each time, in the caller's thread.

            watch = app.watch_logs()
            for line in watch.look():
                print(line)

        Args:
            cursor: where to begin; it is moved as lines are handed out.
        """
        from knit_core.logs import LogWatch

        return LogWatch(self, cursor)

    # -- notes -------------------------------------------------------------

    def write_note(self, name: str, value: Any) -> None:
        """Leave a note in its folder on HDFS, over an earlier one; `read_note` gives the one or the other, never half of it.

        Behind HttpFS, a writer that is killed in the very moment of replacing leaves no note: `read_note` gives None then.

        Args:
            name: of the note, a file name.
            value: anything that JSON takes.
        """
        self.cluster.hdfs.replace(f"{self.folder}/{name}.json", json.dumps(value).encode())

    def read_note(self, name: str) -> Any:
        """The note of this name; None when there is none, or none that can be understood."""
        raw = self.cluster.hdfs.read_replaced(f"{self.folder}/{name}.json")
        try:
            return None if raw is None else json.loads(raw)
        except ValueError:
            return None

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
        step = waiter.on_error(error, self.cluster.clock.monotonic())
        if isinstance(step, Done):
            raise error
        self.cluster.clock.sleep(step.seconds)

    def _waiter(self, timeout: float | str | None, poll: float) -> Waiter:
        now = self.cluster.clock.monotonic()
        deadline = None if timeout is None else now + seconds(timeout)
        return Waiter(app_id=self.id, deadline=deadline, poll=poll, started=now)

    @cached_property
    def master(self) -> ApplicationMasterClient:
        """Its ApplicationMaster's API."""
        return self.cluster.application_master(self.id, self.report)

    @property
    def folder(self) -> str:
        """Its folder on HDFS."""
        return self.cluster.application_folder(self.id)

    def _read_result(self) -> Result | None:
        return lifecycle.read_result(self.cluster, self.id)
