"""Application: a handle on one application. It has no state but the id; every call sends requests.

More than 400 lines, because they are one class: editors and `help(Application)` show all signatures and docstrings. Most lines
are documentation.
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
from knit_core.hadoop import lifecycle, pushed_tokens
from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.http import RetryPolicy
from knit_core.hadoop.resource_manager import or_empty
from knit_core.model.ids import ApplicationId
from knit_core.model.queues import queue_name_problem
from knit_core.model.report import ApplicationReport
from knit_core.model.representation import Rows, html_facts
from knit_core.model.result import Container, Result
from knit_core.model.service_status import Event, ServiceStatus
from knit_core.model.states import State
from knit_core.model.token_status import TokenPush, TokenStatus
from knit_core.model.units import seconds
from knit_core.monitoring.diagnosis import Pending, Why, why_ended, why_no_master, why_running
from knit_core.monitoring.wait import Done, Waiter, drive
from knit_core.preflight import accepted_name, queue_problems

if TYPE_CHECKING:
    from knit_core.logs import LogCursor, LogFile, LogLine, LogWatch

_MIN_RETRY = 1.0  # seconds


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
        """Sends no request: opening a notebook must not wait for a cluster."""
        return html_facts(
            "Application", {"id": self.id, "cluster": self.cluster.config.settings["resourcemanager"].value}
        )

    # -- state ----------------------------------------------------------

    def report(self) -> ApplicationReport:
        """The ResourceManager's report.

        Raises:
            ApplicationNotFound: it has no record of the application (`result` may still be available).
        """
        return self.cluster.resourcemanager.app(self.id)

    def containers(self, *, retry_timeout: float | None = None) -> list[Container]:
        """All its containers: from the ApplicationMaster while it runs, from the result after the end.

        Args:
            retry_timeout: seconds to wait for an ApplicationMaster that restarts; None: the client's.

        Raises:
            MasterUnreachable: it does not run, and there is no result.
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
        """The ApplicationMaster's state (`GET /api/v1/application`)."""
        found: dict[str, Any] = self.master.get("/application")
        return found

    def services(self) -> dict[str, ServiceStatus]:
        """Its services by name, from its ApplicationMaster.

        Raises:
            MasterUnreachable: it does not run.
        """
        return {name: ServiceStatus.parse(name, row) for name, row in self.details()["services"].items()}

    def pages(self) -> dict[str, str]:
        """Web pages of its containers by name (`knit_container.page`), as addresses for a browser."""
        base = self.report().tracking_url.rstrip("/")
        return {name: f"{base}/pages/{name}{row['path']}" for name, row in self.details()["pages"].items()}

    def events(self, *, after: int = 0, follow: bool = False) -> Iterator[Event]:
        """Its events, oldest first; after its end those in `result.json`.

        Args:
            after: only events with a greater number.
            follow: wait for further events until it ends.

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
        """The values that containers have returned so far, by service and rank."""
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
            timeout: seconds, or a text such as "1 h"; None: no limit.
            poll: seconds between two reports.
            on_report: called with every report.
            check: raise an error when it did not succeed; False: return every result.

        Raises:
            ApplicationFailed, ApplicationKilled, ApplicationLost: it ended without success.
            WaitTimeout: the timeout has passed; the application continues.
        """
        waiter, clock = self._waiter(timeout, poll), self.cluster.clock
        report = drive(waiter, self.report, on_report, clock=clock)
        # faults of the NameNode are waited out as long as those of the ResourceManager
        left = math.inf if waiter.deadline is None else waiter.deadline - clock.monotonic()
        retry = RetryPolicy(max(_MIN_RETRY, min(waiter.retry_timeout, left)), clock=clock)
        result = lifecycle.final_result(self.cluster, self.id, report, retry)
        return result.raise_for_outcome() if check else result

    def wait_until(
        self, condition: Callable[[ApplicationReport], bool], timeout: float | str | None = 60.0
    ) -> ApplicationReport:
        """Wait until `condition` holds for a report or it has ended; the report.

        Args:
            condition: called with each report.
            timeout: seconds, or a text such as "1 h"; None: no limit.

        Raises:
            WaitTimeout: the timeout has passed.
            ApplicationNotFound: the ResourceManager has no record of it.
        """
        limit = None if timeout is None else seconds(timeout)
        return lifecycle.wait_until(self.cluster, self.id, condition, limit, self.report)

    def wait_until_ready(self, *services: str, timeout: float | str = 300.0) -> dict[str, ServiceStatus]:
        """Wait until services (default: all) are ready or have succeeded; all services.

        Raises:
            WaitTimeout: the timeout has passed.
            ApplicationFailed, …: it has ended.
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
                self._wait_after_fault(error, waiter)
                if isinstance(error, MasterUnreachable):
                    raise
            if self.cluster.clock.monotonic() > deadline:
                states = ", ".join(f"{row.name} {row.state}" for row in rows.values()) or "none known"
                raise WaitTimeout(f"{self.id}: not all services were ready within {timeout}: {states}")

    def wait_for_containers(self, count: int | None = None, timeout: float | str = 120.0) -> list[Container]:
        """Wait until `count` containers (default: all requested ones) have started; the containers.

        Raises:
            WaitTimeout: the timeout has passed.
            ApplicationFailed, …: it has ended.
        """
        deadline = self.cluster.clock.monotonic() + seconds(timeout)
        self.wait_until(lambda report: report.state is State.RUNNING, timeout)
        rows, waiter = list[Container](), self._waiter(None, 1.0)
        while True:
            try:
                rows = self.containers()
                started = [c for c in rows if c.started_at]
                if rows and len(started) >= (len({c.id for c in rows}) if count is None else count):
                    return rows
                waiter.recovered()
            except KnitError as error:
                self._wait_after_fault(error, waiter)
            if self.cluster.clock.monotonic() > deadline:
                states = ", ".join(f"{c.id} {c.state}" for c in rows) or "none known"
                raise WaitTimeout(f"{self.id}: not all containers have started within {timeout}: {states}")
            self.cluster.clock.sleep(0.1)

    def result(self) -> Result | None:
        """Its result; None while it runs.

        Read from its `result.json`, so it is available after the ResourceManager has removed its record.

        Raises:
            ApplicationNotFound: neither the ResourceManager nor HDFS has a record of it.
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
        """The result for a final report; None: the ResourceManager has no record of the application.

        `result.json` is used only when the last attempt has written it: an earlier attempt may have written one before
        YARN terminated it.
        """
        return lifecycle.final_result(self.cluster, self.id, report)

    def kill(self, reason: str = "", grace: float | str = 10.0) -> bool:
        """End it: its ApplicationMaster shuts down, or YARN kills it after `grace` seconds.

        Args:
            reason: becomes part of its diagnostics.
            grace: seconds (or "30 s") for the shutdown; 0: kill at once.

        Returns:
            True when it had not ended; False when it had, or the ResourceManager has no record of it.

        Raises:
            NotAuthorized: it belongs to another user.
            WaitTimeout: YARN accepted the kill, but it had not ended `grace` seconds later (at least 10). It will end.
            ConnectionFailed, ServiceUnavailable: the ResourceManager does not answer; it is not known whether it ends.
        """
        return lifecycle.end(self.cluster, self.id, reason, seconds(grace), self.master)

    def why(self) -> Why:
        """Why it waits or why it ended, with the remedy.

        Raises:
            ApplicationNotFound: neither the ResourceManager nor HDFS has a record of it.
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

    # -- changes -----------------------------------------------------------

    def scale(self, instances: int | None = None, service: str = "main", *, by: int | None = None) -> int:
        """Change the number of instances of a service; the new number.

        Args:
            instances: the new number. Give this or `by`.
            by: the difference.
            service: its name.

        Raises:
            NotFound: no such service.
            RequestRefused: the number would be negative, or the application is ending.
        """
        if (instances is None) == (by is None):
            raise ValueError("give instances or by")
        change = {"instances": instances} if by is None else {"by": by}
        found = self.master.put(f"/services/{service}/scale", {**change, "token": secrets.token_hex(16)})
        return int(found["instances"])

    def move(self, queue: str) -> None:
        """Move it to another queue.

        Raises:
            QueueRefused: the queue does not exist or refuses it.
        """
        rm = self.cluster.resourcemanager
        if invalid := queue_name_problem(queue):
            raise QueueRefused(invalid)
        queues = or_empty(rm.queues)
        for problem in queue_problems(queue, queues, rm.address, made=False):
            raise QueueRefused(f"{problem} {self.id} stays where it is.", address=rm.address)
        rm.move(self.id, accepted_name(queue, queues))

    def set_priority(self, priority: int) -> None:
        """Set its priority within its queue."""
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
        """End it with the given outcome, for example when its services run without end."""
        self.master.put("/shutdown", {"outcome": outcome, "diagnostics": diagnostics})

    # -- delegation tokens ---------------------------------------------------

    def push_tokens(self, *, force: bool = False) -> TokenPush:
        """Give it new delegation tokens, on a cluster with Kerberos, so that it may outlive those of its launch.

        Call it before the present ones end, and again before the pushed ones end (`TokenPush.valid_until`): by default a day
        later. Nothing is pushed while the present ones are valid for longer than new ones. See docs/kerberos.md.

        Args:
            force: push in any case.

        Raises:
            NotAuthorized: it belongs to another user.
            RequestRefused: it has ended, or its ApplicationMaster cannot use them, for example because its present ones have
                ended.
            KnitError: the cluster uses simple authentication, or a service refuses or does not answer.
        """
        return pushed_tokens.push_tokens(self.cluster, self.master, self.report(), force=force)

    def tokens(self) -> list[TokenStatus]:
        """The delegation tokens that it has, without their secrets.

        Raises:
            MasterUnreachable: it does not run.
            KnitError: the cluster uses simple authentication.
        """
        return pushed_tokens.read_tokens(self.cluster, self.master)

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
            follow: wait for further lines until the application ends; False: the present lines.
            services: only of these services.
            containers: only of these containers: `main_0` (all attempts of it), YARN's ids, `master` for the ApplicationMaster.
            streams: names of log files; stdout and stderr by default.
            tail: only this number of last lines of each stream, counted at the start.
            cursor: where to continue; it is moved with each line.
            timeout: seconds to wait for the aggregated logs after the end.

        Raises:
            LogsUnavailable: logs are missing or cannot be read (`reason`, `missing`, `files`); all available lines were
                returned before.
            ValueError: a negative `tail`, or a text instead of a list.
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
        """Complete logs as bytes: one for each container and stream.

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
        """Read its logs repeatedly while it runs, a limited amount each time, in the caller's thread.

            watch = app.watch_logs()
            for line in watch.look():
                print(line)

        Args:
            cursor: where to start; it is moved with each line.
        """
        from knit_core.logs import LogWatch

        return LogWatch(self, cursor)

    # -- notes -------------------------------------------------------------

    def write_note(self, name: str, value: Any) -> None:
        """Write a note into its folder on HDFS, over an earlier one; `read_note` returns one of them, complete.

        With HttpFS, a writer that is killed while it replaces a note leaves none: `read_note` returns None then.

        Args:
            name: file name of the note.
            value: a JSON value.
        """
        self.cluster.hdfs.replace(f"{self.folder}/{name}.json", json.dumps(value).encode())

    def read_note(self, name: str) -> Any:
        """The note of this name; None when there is none, or it is not JSON."""
        raw = self.cluster.hdfs.read_replaced(f"{self.folder}/{name}.json")
        try:
            return None if raw is None else json.loads(raw)
        except ValueError:
            return None

    # -- private -----------------------------------------------------------

    def _wait_after_fault(self, error: KnitError, waiter: Waiter) -> None:
        """Pause after a call that failed. Raises its end when it has ended, and errors that are not transient."""
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
