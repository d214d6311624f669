"""Follows the logs of a running application: watches its containers and its end, and reads from its nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from urllib.parse import parse_qs, urlsplit

from knit_core.errors import ApplicationNotFound, KnitError, NotAuthorized, StagingError
from knit_core.launch.plan import APPLICATION_TYPE
from knit_core.logs.aggregated.folders import Listing
from knit_core.logs.aggregated.log_files import AggregatedLogs, Found, Unfinished
from knit_core.logs.aggregated.rolled_parts import Mark
from knit_core.logs.application import LoggedApplication
from knit_core.logs.lines import Block, remark
from knit_core.logs.live.follow_nodes import Follower
from knit_core.logs.selection import MASTER, Selection
from knit_core.model.clock import Clock, pause
from knit_core.model.ids import ContainerId
from knit_core.model.report import ApplicationReport
from knit_core.model.result import Container
from knit_core.model.states import ContainerState

_SOONEST, _LATEST = 0.5, 2.0  # seconds between two polls of the application
_RETRY_TIMEOUT = 300.0  # seconds of consecutive transient faults that are tolerated
_FORGOTTEN = 15.0  # seconds of tolerance when the ResourceManager does not know the application after a restart
_FRESH = 0.5  # seconds for which a listing of HDFS is reused
FOREIGN = (
    "it was not launched by Knit, so its containers are not known while it runs; their logs are read after its end"
)
ITSELF = Container("knit", "", 0, 1, ContainerState.RUNNING)  # label of remarks on the whole application


class RunningUploads:
    """Logs of a running application that rolling aggregation has uploaded; see `follow_container.Uploads`."""

    def __init__(self, logs: AggregatedLogs, clock: Clock = time) -> None:
        self._logs, self._lock, self._clock = logs, threading.Lock(), clock
        self.possible = logs.enabled and logs.rolling
        self._seen: Listing | None = None
        self._at = 0.0

    def of_log(self, row: Container, stream: str, uploads: int, fresh: bool) -> Found | None:
        """The uploaded part of one log; see `follow_container.Uploads`."""
        node = row.node.replace(":", "_")
        found = self._logs.of_log(self._listing(0.0 if fresh else _FRESH), node, row.yarn, stream)
        if found is None or found.uploads < uploads:
            found = self._logs.of_log(self._listing(0.0), node, row.yarn, stream)
        if uploads and (found is None or found.uploads < uploads):
            raise Unfinished(f"{stream} of {row.yarn}")
        return found

    def last_part(self, row: Container, stream: str) -> Mark | None:
        """The log's part in the latest upload."""
        return self._logs.last_part(row.yarn, stream)

    def _listing(self, fresh: float) -> Listing:
        """The files on HDFS, not older than `fresh` seconds."""
        now = self._clock.monotonic()
        with self._lock:
            if self._seen is None or now - self._at > fresh:
                self._at = self._clock.monotonic()
                self._seen = self._logs.list_files()
            return self._seen


def master_row(report: ApplicationReport) -> Container | None:
    """The ApplicationMaster's container as a row; None before its allocation."""
    found = ContainerId.search(report.master_logs)
    if found is None:
        return None
    address = _node_of(report.master_logs)
    host = address.rpartition(":")[0]
    state = ContainerState.FAILED if report.ended else ContainerState.RUNNING
    return Container(MASTER, "", found.attempt, found.attempt, state, str(found), node=f"{host}:0", node_http=address)


def _node_of(url: str) -> str:
    """`host:port` of the NodeManager in an address of logs. Knox puts its own address before it, and the node's in the query."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return f"{query['host'][0]}:{query['port'][0]}" if {"host", "port"} <= set(query) else parts.netloc


class Watcher:
    """Passes the application's containers to a follower, until the application ends.

    Attributes:
        rows: all containers so far, by YARN's id.
        ended: whether the application has ended.
        report: the ResourceManager's report after the end; None when it has no record.
        error: the error that ended watching before the application's end.
    """

    def __init__(self, application: LoggedApplication, follower: Follower, selection: Selection) -> None:
        self._application, self._follower, self._selection = application, follower, selection
        self._clock = application.cluster.clock
        self._stop = threading.Event()
        self._faulty_since: float | None = None
        self._unknown_since: float | None = None
        self._last_remark = ""
        self.rows: dict[str, Container] = {}
        self.ended = False
        self.report: ApplicationReport | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="knit-logs-watch", daemon=True)

    def start(self) -> None:
        """Start a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread. It may be waiting for a reply, so it is joined for a short time only."""
        self._stop.set()
        self._thread.join(0.5)

    def _watch(self) -> None:
        seconds = _SOONEST
        try:
            while not self._stop.is_set():
                if self._poll_end():
                    break
                # Short pauses until the first containers exist.
                seconds = _SOONEST if self._update() or not self.rows else min(_LATEST, 1.3 * seconds)
                pause(self._stop, seconds, self._clock)
        except Exception as error:  # raised in the thread that takes the lines
            self.error = error
        self._follower.close()

    def _poll_end(self) -> bool:
        """Query the report; whether the application has ended."""
        try:
            self.report = self._application.report()
        except ApplicationNotFound:
            # A restarted ResourceManager gives the same answer until it has loaded its state.
            now = self._clock.monotonic()
            self._unknown_since = self._unknown_since or now
            self.ended = now - self._unknown_since > _FORGOTTEN
            self.report = None if self.ended else self.report
        except KnitError as error:
            now = self._clock.monotonic()
            self._faulty_since = self._faulty_since or now
            if not error.transient or now - self._faulty_since > _RETRY_TIMEOUT:
                raise
            self._remark(f"{error} Following continues.")
        else:
            self._faulty_since = self._unknown_since = None
            self.ended = self.report.ended
        return self.ended

    def _update(self) -> bool:
        """Pass the current containers to the follower; whether any is new or has ended."""
        rows: list[Container] = []
        if self.report is not None and self.report.type != APPLICATION_TYPE:
            self._remark(FOREIGN)
        try:
            rows = self._application.containers(retry_timeout=0)
        except (NotAuthorized, StagingError) as error:
            if self.report is None or self.report.type == APPLICATION_TYPE:
                self._remark(f"its containers cannot be queried: {_whose(self.report)}{error}")
        except KnitError:
            pass  # no ApplicationMaster at this time: known containers are still read
        master = master_row(self.report) if self._selection.master and self.report else None
        rows += [master] if master else []
        # A new dictionary: another thread may read the old one, as `stop` may not wait for this thread's end.
        self.rows = {**self.rows, **{row.yarn: row for row in rows if row.yarn}}
        return self._follower.update(rows)

    def _remark(self, text: str) -> None:
        if text != self._last_remark:
            self._last_remark = text
            self._follower.channel.put(remark(ITSELF, text))


def follow(
    application: LoggedApplication, make: Callable[[], Follower], selection: Selection, rows: dict[str, Container]
) -> Generator[Block, None, ApplicationReport | None]:
    """The output of the containers until the application ends; returns the ResourceManager's last report.

    Args:
        application: the application.
        make: creates the follower.
        selection: which logs.
        rows: is filled with all containers, by YARN's id.
    """
    follower = make()
    watcher = Watcher(application, follower, selection)
    try:
        watcher.start()
        while (block := follower.channel.get(3600.0)) is not None or not follower.channel.closed:
            if block is not None:
                yield block
        for error in (watcher.error, follower.crash):
            if error is not None:
                raise error
        return watcher.report
    finally:
        watcher.stop()
        follower.close()
        rows.update(watcher.rows)


def once(
    application: LoggedApplication, make: Callable[[], Follower], selection: Selection, report: ApplicationReport
) -> Iterator[Block]:
    """The output of the containers up to now."""
    if report.type != APPLICATION_TYPE:
        yield remark(ITSELF, FOREIGN)
    try:
        rows = application.containers(retry_timeout=0)
    except NotAuthorized:
        raise
    except StagingError as error:  # no key, or not the key of who launched it
        if report.type == APPLICATION_TYPE:
            raise StagingError(f"The containers of {report.id} cannot be queried: {_whose(report)}{error}") from None
        rows = []
    except KnitError:
        rows = []  # no ApplicationMaster at this time
    master = master_row(report) if selection.master else None
    rows += [master] if master else []
    selection.check(rows)
    follower = make()
    try:
        follower.update(rows)
        yield from drained(follower)
    finally:
        follower.close()


def _whose(report: ApplicationReport | None) -> str:
    return f"it is an application of {report.user}. " if report is not None and report.user else ""


def drained(follower: Follower) -> Iterator[Block]:
    """All blocks of a follower that polls each container once."""
    while True:
        over = follower.idle()  # must be read before the channel
        block = follower.channel.get(0.0 if over else 1.0)
        if block is not None:
            yield block
        elif over or follower.channel.closed:
            break
    if follower.crash is not None:
        raise follower.crash


__all__ = ["ITSELF", "RunningUploads", "drained", "follow", "master_row", "once"]
