"""Reads the aggregated logs of an ended application: waits for uploads, and raises an error for missing logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from knit_core.errors import KnitError, LogsUnavailable, MissingLog
from knit_core.logs.aggregated.folders import Listing
from knit_core.logs.aggregated.log_files import AggregatedLogs, Found, Unfinished
from knit_core.logs.application import LoggedApplication
from knit_core.logs.selection import MASTER, Selection
from knit_core.model.ids import ContainerId
from knit_core.model.result import Container, Result
from knit_core.model.states import ContainerState
from knit_core.model.units import counted

_SOONEST, _LATEST = 0.1, 0.5  # seconds between two polls: most uploads are done after the first
_STATES_FRESH = 2.0  # seconds
_AGGREGATING = {"NOT_START", "RUNNING", "RUNNING_WITH_FAILURE"}
_DOWN = ("LOST", "SHUTDOWN", "DECOMMISSIONED", "REBOOTED")
_UP = ("NEW", "RUNNING", "UNHEALTHY", "DECOMMISSIONING")
_POLICY = "yarn.nodemanager.log-aggregation.policy.class"
_ALL = "AllContainerLogAggregationPolicy"


class Expected:
    """Which containers should have logs.

    Args:
        result: of the application.
        seen: containers that were known while it ran, by YARN's id.
        selection: which logs.
    """

    def __init__(self, result: Result | None, seen: dict[str, Container], selection: Selection) -> None:
        self._selection = selection
        self.complete = result is not None and result.complete
        rows = {row.yarn: row for row in (result.containers if result else ()) if row.yarn}
        for yarn, row in seen.items():
            rows.setdefault(yarn, row)
        self.all = rows
        selection.check(rows.values())
        self.rows = {yarn: row for yarn, row in rows.items() if row.started_at and selection.wants(row)}

    def row(self, found_in: str, yarn: str) -> Container | None:
        """The container of a log in a file; None if it is not selected."""
        row = self.all.get(yarn) or unknown(yarn, found_in)
        if row.id == MASTER and not self._selection.master:
            # Without a result, the ApplicationMaster's log is included: it contains the reason.
            excluded = self.complete or self._selection.containers is not None or self._selection.services is not None
            return None if excluded else row
        return row if self._selection.wants(row) else None

    def wanted(self, yarn: str, stream: str) -> bool:
        """See `AggregatedLogs.read`."""
        return (not stream or stream in self._selection.streams) and self.row("", yarn) is not None


def unknown(yarn: str, host: str) -> Container:
    """A row for a container that is not in the application's result."""
    try:
        found = ContainerId.parse(yarn)
    except ValueError:
        return Container(yarn, "", 0, 1, ContainerState.FAILED, yarn, node=f"{host}:0")
    name = MASTER if found.is_master else yarn
    return Container(name, "", found.attempt, found.attempt, ContainerState.FAILED, yarn, node=f"{host}:0")


class EndedLogs:
    """Reads the aggregated logs of an ended application, and compares them with the expected containers.

    Args:
        application: the application.
        logs: its aggregated logs.
        expected: the containers that should have logs.
        timeout: seconds to wait for missing logs.
    """

    def __init__(
        self, application: LoggedApplication, logs: AggregatedLogs, expected: Expected, timeout: float
    ) -> None:
        self._application, self._logs, self._expected, self._timeout = application, logs, expected, timeout
        self._clock = application.cluster.clock
        self._missing = dict(expected.rows)
        self._read: set[str] = set()
        self._unfinished: dict[str, str] = {}  # by node, its file
        self._status = ""
        self._node_states: dict[str, str] = {}
        self._states_at = -_STATES_FRESH

    def found(self) -> Iterator[tuple[Container, Found]]:
        """Each log, as soon as it is complete. Read it before taking the next one.

        Raises:
            LogsUnavailable: logs are missing or cannot be read; all other logs were returned before.
        """
        begun = self._clock.monotonic()
        again, pause = False, _SOONEST
        while True:
            over, late = self._aggregation_ended(), self._clock.monotonic() - begun > self._timeout
            try:
                there = self._logs.list_files()
            except KnitError as error:
                if not error.transient or late:
                    raise
                there = Listing({}, {}, frozenset())
                over = False
            yield from self._of(there, over or late)
            if self._is_complete(over) or late or (over and again) or (not over and self._only_on_lost_nodes()):
                break
            again = over  # YARN's status may be ahead of HDFS: list once more
            self._clock.sleep(pause)
            pause = min(_LATEST, 1.5 * pause)
        self._raise_missing(there, over, self._clock.monotonic() - begun)

    def _of(self, there: Listing, final: bool) -> Iterator[tuple[Container, Found]]:
        self._unfinished.clear()
        for node, files in sorted(there.files.items()):
            if node in self._read:
                continue
            if not final and any(file.rolled for file in files):  # another part may follow
                self._unfinished[node] = files[-1].path
                continue
            try:
                for found in self._logs.read(there, node, self._expected.wanted):
                    self._missing.pop(found.container, None)
                    row = self._expected.row(found.host, found.container)
                    if row is not None:
                        yield row, found
                self._read.add(node)
            except Unfinished as error:
                self._unfinished[node] = str(error)

    def _is_complete(self, over: bool) -> bool:
        if self._unfinished:
            return False
        # A container that was killed before its process started has no log.
        silent = all(row.state is ContainerState.KILLED for row in self._missing.values())
        return (not self._missing and bool(self._expected.rows or self._read)) or (silent and over)

    def _only_on_lost_nodes(self) -> bool:
        """Whether all missing logs are on nodes that are not running: it is not known when they will return."""
        if not self._missing or self._unfinished:
            return False
        states = self._states()
        return all(states.get(row.node) in _DOWN for row in self._missing.values())

    def _aggregation_ended(self) -> bool:
        """Whether aggregation has ended according to YARN: no more logs will be uploaded."""
        try:
            self._status = self._application.report().log_aggregation
        except KnitError as error:
            if error.transient:
                return False
            self._status = ""
        return self._status not in _AGGREGATING

    def _raise_missing(self, there: Listing, over: bool, waited: float) -> None:
        """Raise LogsUnavailable if logs are missing or damaged."""
        if over:  # unfinished files will not be completed
            for path in self._unfinished.values():
                self._logs.problem(path, LogsUnavailable("it was not finished"))
        missing = [row for row in self._missing.values() if not (over and row.state is ContainerState.KILLED)]
        waiting = not over and (bool(missing) or bool(self._unfinished))
        if not missing and not waiting and not self._logs.problems:
            return
        lost = tuple(self._missing_log(row, there) for row in sorted(missing, key=lambda row: row.yarn))
        raise unavailable(
            self._application.id,
            lost,
            self._logs.problems,
            total=len(self._expected.rows),
            reason="incomplete" if waiting else "gone",
            packed=self._logs.packed,
            texts=self._texts(over, waited),
        )

    def _texts(self, over: bool, waited: float) -> tuple[str, str]:
        if not over:
            status = f" YARN's log aggregation status is {self._status}:" if self._status else ""
            return "are not complete yet", f"After {waited:.0f} s{status or ','} try again later"
        ended = (
            f"log aggregation has ended ({self._status})" if self._status else "YARN has no record of the application"
        )
        policy = self._application.cluster.config.cluster_property(_POLICY, _ALL)
        only = (
            ""
            if policy.endswith(_ALL)
            else f"; the cluster aggregates only logs that {policy.rpartition('.')[2]} selects"
        )
        return "are not on HDFS", f"No more will be uploaded: {ended}{only}"

    def _missing_log(self, row: Container, there: Listing) -> MissingLog:
        node = row.node.replace(":", "_")
        if node in there.uploading or node in self._unfinished:
            return MissingLog(row.id, row.yarn, row.host, "its node is uploading")
        state = self._states().get(row.node, "RUNNING")
        return MissingLog(row.id, row.yarn, row.host, "" if state == "RUNNING" else f"its node is {state}")

    def _states(self) -> dict[str, str]:
        """States of the nodes by `host:port`, from the ResourceManager; queried at most every `_STATES_FRESH` seconds."""
        if self._clock.monotonic() - self._states_at > _STATES_FRESH:
            try:
                rows = self._application.cluster.resourcemanager.nodes(_DOWN + _UP)
            except KnitError:
                rows = []
            # A node that returned is listed twice: the running entry counts.
            rows.sort(key=lambda row: row.state in _UP)
            self._node_states = {row.id: row.state for row in rows}
            self._states_at = self._clock.monotonic()
        return self._node_states


def unavailable(
    app_id: str,
    missing: tuple[MissingLog, ...],
    problems: Iterable[tuple[str, str]],
    *,
    total: int,
    reason: str,
    texts: tuple[str, str],
    packed: bool = False,
) -> LogsUnavailable:
    """The error for missing and damaged logs.

    Args:
        app_id: the application.
        missing: containers without logs.
        problems: (path, problem).
        total: number of containers.
        reason: of the error.
        texts: the reason in words: the predicate of "The logs … ", and a second sentence.
        packed: whether a file has an unsupported compression.
    """
    files = tuple(problems)
    parts = []
    if missing or not files:
        names = [f"{m.container} ({m.yarn} on {m.node}{': ' + m.why if m.why else ''})" for m in missing[:10]]
        more = " …" if len(missing) > 10 else ""
        what = f"{len(missing)} of {counted(total, 'container')} of {app_id}" if missing else app_id
        parts.append(f"The logs of {what} {texts[0]}{': ' * bool(names)}{', '.join(names)}{more}. {texts[1]}.")
    if files:
        shown = "; ".join(f"{path}: {problem}" for path, problem in files[:5])
        parts.append(f"Not readable, or not completely, on HDFS: {shown}{' …' if len(files) > 5 else ''}.")
        reason = reason if missing and reason == "incomplete" else "compression" if packed else "damaged"
    return LogsUnavailable(" ".join(parts), reason=reason, missing=missing, files=files)
