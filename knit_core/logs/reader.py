"""Reads an application's logs after a cursor: live while it runs, from HDFS after its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cached_property

from knit_core.errors import ApplicationNotFound, ConnectionFailed, KnitError, MissingLog
from knit_core.logs.aggregated.log_files import AggregatedLogs, Found
from knit_core.logs.aggregated.read_aggregated import EndedLogs, Expected, unavailable
from knit_core.logs.application import LoggedApplication
from knit_core.logs.lines import Block, LogCursor, LogLine, blocks, last_lines, remark
from knit_core.logs.live.follow_application import ITSELF, RunningUploads, drained, follow, once
from knit_core.logs.live.follow_container import Uploads
from knit_core.logs.live.follow_nodes import Follower
from knit_core.logs.live.routes import Routes
from knit_core.logs.live.through_master import MasterRoute
from knit_core.logs.selection import Selection
from knit_core.model.report import ApplicationReport
from knit_core.model.result import Container, Result
from knit_core.model.states import ContainerState

OFF = (
    "are gone",
    "Log aggregation is off on this cluster (yarn.log-aggregation-enable), and its nodes keep logs only for a limited "
    "time (yarn.nodemanager.log.retain-seconds): follow logs while the application runs",
)


class LogReader:
    """Reads an application's logs once, from a cursor on.

    Args:
        application: the application.
        selection: which of its logs.
        cursor: where to begin; moves with each line.
        timeout: seconds to wait for the aggregated logs after the end.
    """

    def __init__(
        self,
        application: LoggedApplication,
        selection: Selection,
        cursor: LogCursor | None = None,
        timeout: float = 60.0,
    ) -> None:
        self._application, self._selection, self._timeout = application, selection, timeout
        self.cursor = LogCursor() if cursor is None else cursor
        self._cluster = application.cluster
        self._seen: dict[str, Container] = {}
        self._logs: AggregatedLogs | None = None

    def lines(self, go_on: bool) -> Iterator[LogLine]:
        """See `Application.logs`."""
        for block in self.blocks(go_on):
            yield from block.lines(self.cursor)

    def blocks(self, go_on: bool) -> Iterator[Block]:
        """As `lines`, in blocks; the cursor moves when the lines of a block are taken.

        Args:
            go_on: follow until the application ends.
        """
        report = self.report()
        if report is not None and not report.ended:
            logs = self.aggregated(report)
            uploads = RunningUploads(logs, self._cluster.clock)
            make = lambda: self._follower(uploads, not go_on)  # noqa: E731
            if not go_on:
                yield from once(self._application, make, self._selection, report)
                return
            report = yield from follow(self._application, make, self._selection, self._seen)
            # `tail` limits the lines that existed at the beginning; all later lines are wanted.
            self._selection = dataclasses.replace(self._selection, tail=None)
        yield from self._ended(report)

    def report(self) -> ApplicationReport | None:
        """The ResourceManager's report; None when it has no record of the application."""
        try:
            return self._application.report()
        except ApplicationNotFound:
            return None

    def ended(self, report: ApplicationReport | None) -> tuple[AggregatedLogs, Expected]:
        """The aggregated logs of the ended application, and the containers that should have logs.

        Raises:
            ApplicationNotFound: neither the ResourceManager nor HDFS has a record of it.
        """
        result = self._application.final_result(report) if report is not None else self._application.result()
        return self.aggregated(report, result), Expected(result, self._seen, self._selection)

    def _ended(self, report: ApplicationReport | None) -> Iterator[Block]:
        logs, expected = self.ended(report)
        if not logs.enabled:
            yield from self._from_nodes(expected)
            return
        for row, found in EndedLogs(self._application, logs, expected, self._timeout).found():
            yield from self._content(row, found)

    def _content(self, row: Container, found: Found) -> Iterator[Block]:
        """One log after the cursor."""
        start = self.cursor.at(row.yarn, found.stream)
        if start >= found.size:
            return
        made = blocks(row, found.stream, start, found.open(start), True)
        yield from made if self._selection.tail is None else last_lines(made, self._selection.tail)

    def _from_nodes(self, expected: Expected) -> Iterator[Block]:
        """The logs that are still on the nodes, when log aggregation is off."""
        yield remark(ITSELF, "log aggregation is off on this cluster; the following logs are still on its nodes")
        rows = [
            row if row.state.ended else dataclasses.replace(row, state=ContainerState.KILLED)
            for row in expected.rows.values()
        ]
        follower = self._follower(None, True)
        try:
            follower.update(rows)
            yield from drained(follower)
        finally:
            follower.close()
        unread = {row.yarn: row for row in follower.unread() if row.state is not ContainerState.KILLED}
        unread.update({row.yarn: row for row in rows if not row.node_http})
        if not unread and (rows or expected.complete):
            return
        missing = tuple(_missing(row, follower.failures.get(yarn)) for yarn, row in sorted(unread.items()))
        raise unavailable(
            self._application.id,
            missing,
            (),
            total=len(rows),
            reason="off",
            texts=OFF,
        )

    def aggregated(self, report: ApplicationReport | None, result: Result | None = None) -> AggregatedLogs:
        """The application's aggregated logs."""
        if self._logs is None:
            owner = (report.user if report else "") or (result.user if result else "") or self._cluster.config.user
            self._logs = AggregatedLogs(
                self._cluster.hdfs, self._cluster.config, self._application.id, owner, self._cluster.clock
            )
        return self._logs

    @property
    def scheme(self) -> str:
        """The URL scheme of the NodeManagers' web servers."""
        return "https" if self._cluster.config.cluster_property("yarn.http.policy", "") == "HTTPS_ONLY" else "http"

    @cached_property
    def routes(self) -> Routes:
        """The ways to the nodes of the running application."""
        through_master = MasterRoute(lambda: self._application.master, self._cluster.clock)
        return Routes([through_master], self._cluster.away_nodes, self._cluster.clock)

    @property
    def no_uploads(self) -> Uploads:
        """For an application whose logs are not aggregated: nothing is uploaded."""
        return _NoUploads()

    def _follower(self, uploads: RunningUploads | None, single: bool) -> Follower:
        chosen: Uploads = uploads or self.no_uploads
        # While the application runs, a slow node can be skipped: its lines are read after the end.
        short = single and uploads is not None
        return Follower(
            self._cluster.nodes,
            self.scheme,
            chosen,
            self._selection,
            self.cursor,
            once=single,
            short=short,
            clock=self._cluster.clock,
            routes=self.routes if uploads is not None else None,  # after the end there is no ApplicationMaster
        )


class _NoUploads:
    possible = False

    def of_log(self, row: Container, stream: str, uploads: int, fresh: bool) -> None:
        """None."""

    def last_part(self, row: Container, stream: str) -> None:
        """None."""


def _missing(row: Container, error: KnitError | None) -> MissingLog:
    if isinstance(error, ConnectionFailed):
        reason = "its node cannot be reached"
    else:
        reason = "its node has deleted them" if row.node_http else "its node is not known"
    return MissingLog(row.id, row.yarn, row.host, reason)
