"""The logs of an application that has ended: waited for, read, and what of them is missing, said."""

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

_SOONEST, _LATEST = 0.1, 0.5  # seconds between two looks: most uploads are done within the first
_STATES_FRESH = 2.0  # seconds
_AT_WORK = {"NOT_START", "RUNNING", "RUNNING_WITH_FAILURE"}
_AWAY = ("LOST", "SHUTDOWN", "DECOMMISSIONED", "REBOOTED")
_THERE = ("NEW", "RUNNING", "UNHEALTHY", "DECOMMISSIONING")
_POLICY = "yarn.nodemanager.log-aggregation.policy.class"
_ALL = "AllContainerLogAggregationPolicy"


class Expected:
    """Which containers should have logs.

    Args:
        result: what the application left.
        seen: containers seen while it ran, by YARN's id.
        selection: what is wanted.
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
        """The container that a log in a file belongs to; None when it is not wanted."""
        row = self.all.get(yarn) or unknown(yarn, found_in)
        if row.id == MASTER and not self._selection.master:
            # Where the ApplicationMaster left no result, its own log is the one that says why.
            unasked = self.complete or self._selection.containers is not None or self._selection.services is not None
            return None if unasked else row
        return row if self._selection.wants(row) else None

    def wanted(self, yarn: str, stream: str) -> bool:
        """See `AggregatedLogs.read`."""
        return (not stream or stream in self._selection.streams) and self.row("", yarn) is not None


def unknown(yarn: str, host: str) -> Container:
    """A row for a container that the application's result does not name."""
    try:
        found = ContainerId.parse(yarn)
    except ValueError:
        return Container(yarn, "", 0, 1, ContainerState.FAILED, yarn, node=f"{host}:0")
    name = MASTER if found.is_master else yarn
    return Container(name, "", found.attempt, found.attempt, ContainerState.FAILED, yarn, node=f"{host}:0")


class EndedLogs:
    """Reads what was aggregated of an application, and knows what should be there.

    Args:
        application: which.
        logs: its aggregated logs.
        expected: which containers should have some.
        timeout: seconds to wait for what is not there yet.
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
        """Each log, as soon as it is complete; to be read before the next one is asked for.

        Raises:
            LogsUnavailable: something is missing or cannot be read; all else was handed out before.
        """
        begun = self._clock.monotonic()
        again, pause = False, _SOONEST
        while True:
            over, late = self._over(), self._clock.monotonic() - begun > self._timeout
            try:
                there = self._logs.look()
            except KnitError as error:
                if not error.transient or late:
                    raise
                there = Listing({}, {}, frozenset())
                over = False
            yield from self._of(there, over or late)
            if self._is_all(over) or late or (over and again) or (not over and self._in_vain()):
                break
            again = over  # what YARN says may be a moment ahead of what HDFS shows
            self._clock.sleep(pause)
            pause = min(_LATEST, 1.5 * pause)
        self._complain(there, over, self._clock.monotonic() - begun)

    def _of(self, there: Listing, final: bool) -> Iterator[tuple[Container, Found]]:
        self._unfinished.clear()
        for node, files in sorted(there.files.items()):
            if node in self._read:
                continue
            if not final and any(file.rolled for file in files):  # another part may come
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

    def _is_all(self, over: bool) -> bool:
        if self._unfinished:
            return False
        # A container that was killed before its process began has no log, and never will.
        silent = all(row.state is ContainerState.KILLED for row in self._missing.values())
        return (not self._missing and bool(self._expected.rows or self._read)) or (silent and over)

    def _in_vain(self) -> bool:
        """Whether all that is missing is on nodes that are away: they may come back, but nobody knows when."""
        if not self._missing or self._unfinished:
            return False
        states = self._states()
        return all(states.get(row.node) in _AWAY for row in self._missing.values())

    def _over(self) -> bool:
        """Whether YARN says that aggregation has ended: what is not there then does not come."""
        try:
            self._status = self._application.report().log_aggregation
        except KnitError as error:
            if error.transient:
                return False
            self._status = ""
        return self._status not in _AT_WORK

    def _complain(self, there: Listing, over: bool, waited: float) -> None:
        """Say what is missing, if something is."""
        if over:  # nobody writes any more what is not finished now
            for path in self._unfinished.values():
                self._logs.problem(path, LogsUnavailable("it was not finished"))
        missing = [row for row in self._missing.values() if not (over and row.state is ContainerState.KILLED)]
        waiting = not over and (bool(missing) or bool(self._unfinished))
        if not missing and not waiting and not self._logs.problems:
            return
        lost = tuple(self._why(row, there) for row in sorted(missing, key=lambda row: row.yarn))
        raise unavailable(
            self._application.id,
            lost,
            self._logs.problems,
            total=len(self._expected.rows),
            reason="incomplete" if waiting else "gone",
            packed=self._logs.packed,
            said=self._said(over, waited),
        )

    def _said(self, over: bool, waited: float) -> tuple[str, str]:
        if not over:
            status = f" YARN's log aggregation status is {self._status}:" if self._status else ""
            return "are not complete yet", f"After {waited:.0f} s{status or ','} try again later"
        ended = (
            f"YARN says that log aggregation has ended ({self._status})" if self._status else "YARN has forgotten it"
        )
        policy = self._application.cluster.config.cluster_property(_POLICY, _ALL)
        only = (
            ""
            if policy.endswith(_ALL)
            else f"; the cluster aggregates only what {policy.rpartition('.')[2]} lets through"
        )
        return "are not on HDFS", f"{ended}: they will not come{only}"

    def _why(self, row: Container, there: Listing) -> MissingLog:
        node = row.node.replace(":", "_")
        if node in there.uploading or node in self._unfinished:
            return MissingLog(row.id, row.yarn, row.host, "its node is uploading")
        state = self._states().get(row.node, "RUNNING")
        return MissingLog(row.id, row.yarn, row.host, "" if state == "RUNNING" else f"its node is {state}")

    def _states(self) -> dict[str, str]:
        """States of the nodes by `host:port`, as the ResourceManager sees them; asked for every other second at most."""
        if self._clock.monotonic() - self._states_at > _STATES_FRESH:
            try:
                rows = self._application.cluster.resourcemanager.nodes(_AWAY + _THERE)
            except KnitError:
                rows = []
            # One that came back is told of twice.
            rows.sort(key=lambda row: row.state in _THERE)
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
    said: tuple[str, str],
    packed: bool = False,
) -> LogsUnavailable:
    """The error for what is missing and what is damaged, in words.

    Args:
        app_id: the application.
        missing, total: what is missing, and of how many containers.
        problems: (path, what is wrong with it).
        reason: why something is missing.
        said: the same in words: what is with them, and what else is to be said.
        packed: whether a file is compressed in a way that cannot be read here.
    """
    files = tuple(problems)
    parts = []
    if missing or not files:
        names = [f"{m.container} ({m.yarn} on {m.node}{': ' + m.why if m.why else ''})" for m in missing[:10]]
        more = " …" if len(missing) > 10 else ""
        what = f"{len(missing)} of {counted(total, 'container')} of {app_id}" if missing else app_id
        parts.append(f"The logs of {what} {said[0]}{': ' * bool(names)}{', '.join(names)}{more}. {said[1]}.")
    if files:
        shown = "; ".join(f"{path}: {problem}" for path, problem in files[:5])
        parts.append(f"Not to be read on HDFS, or not to the end: {shown}{' …' if len(files) > 5 else ''}.")
        reason = reason if missing and reason == "incomplete" else "compression" if packed else "damaged"
    return LogsUnavailable(" ".join(parts), reason=reason, missing=missing, files=files)
