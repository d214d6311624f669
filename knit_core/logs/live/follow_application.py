"""The logs of a running application: who watches it, and what is read from its nodes meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from urllib.parse import urlsplit

from knit_core.errors import ApplicationNotFound, KnitError, NotAuthorized
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

_SOONEST, _LATEST = 0.5, 2.0  # seconds between two looks at the application
_RETRY_TIMEOUT = 300.0  # seconds of transient faults in a row that are forgiven
_FORGOTTEN = 15.0  # seconds for which the ResourceManager may not know an application that ran a moment ago
_FRESH = 0.5  # seconds for which a look at HDFS counts
FOREIGN = "it was not launched by Knit, so nobody says which containers it has; their logs come after its end"
ITSELF = Container("knit", "", 0, 1, ContainerState.RUNNING)  # what remarks on the whole are labelled with


class RunningUploads:
    """What rolling aggregation has uploaded of a running application; see `container.Uploads`."""

    def __init__(self, logs: AggregatedLogs, clock: Clock = time) -> None:
        self._logs, self._lock, self._clock = logs, threading.Lock(), clock
        self.possible = logs.enabled and logs.rolling
        self._seen: Listing | None = None
        self._at = 0.0

    def of_log(self, row: Container, stream: str, uploads: int, fresh: bool) -> Found | None:
        """One log as far as it was uploaded; see `container.Uploads`."""
        node = row.node.replace(":", "_")
        found = self._logs.of_log(self._look(0.0 if fresh else _FRESH), node, row.yarn, stream)
        if found is None or found.uploads < uploads:
            found = self._logs.of_log(self._look(0.0), node, row.yarn, stream)
        if uploads and (found is None or found.uploads < uploads):
            raise Unfinished(f"{stream} of {row.yarn}")
        return found

    def last_part(self, row: Container, stream: str) -> Mark | None:
        """What the latest upload brought of it."""
        return self._logs.last_part(row.yarn, stream)

    def _look(self, fresh: float) -> Listing:
        """What is there, as it was not longer than `fresh` seconds ago."""
        asked = self._clock.monotonic()
        with self._lock:
            if self._seen is None or asked - self._at > fresh:
                self._at = self._clock.monotonic()
                self._seen = self._logs.look()
            return self._seen


def master_row(report: ApplicationReport) -> Container | None:
    """The ApplicationMaster's container as a row; None before there is one."""
    found = ContainerId.search(report.master_logs)
    if found is None:
        return None
    address = urlsplit(report.master_logs).netloc
    host = address.rpartition(":")[0]
    state = ContainerState.FAILED if report.ended else ContainerState.RUNNING
    return Container(MASTER, "", found.attempt, found.attempt, state, str(found), node=f"{host}:0", node_http=address)


class Watcher:
    """Tells a follower which containers there are, until the application ends.

    Attributes:
        rows: the containers seen, by YARN's id.
        ended: whether it has ended; report: what the ResourceManager said then (None: it has forgotten it).
        error: why watching is over although it has not ended.
    """

    def __init__(self, application: LoggedApplication, follower: Follower, selection: Selection) -> None:
        self._application, self._follower, self._selection = application, follower, selection
        self._clock = application.cluster.clock
        self._stop = threading.Event()
        self._faulty_since: float | None = None
        self._unknown_since: float | None = None
        self._said = ""
        self.rows: dict[str, Container] = {}
        self.ended = False
        self.report: ApplicationReport | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="knit-logs-watch", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end; it may be waiting for an answer and is not waited for long."""
        self._stop.set()
        self._thread.join(0.5)

    def _watch(self) -> None:
        seconds = _SOONEST
        try:
            while not self._stop.is_set():
                if self._look():
                    break
                # The first containers are waited for eagerly.
                seconds = _SOONEST if self._update() or not self.rows else min(_LATEST, 1.3 * seconds)
                pause(self._stop, seconds, self._clock)
        except Exception as error:  # raised where the lines are taken
            self.error = error
        self._follower.close()

    def _look(self) -> bool:
        """Whether it has ended."""
        try:
            self.report = self._application.report()
        except ApplicationNotFound:
            # So answers, too, a ResourceManager that has just begun to read what it knew before its restart.
            now = self._clock.monotonic()
            self._unknown_since = self._unknown_since or now
            self.ended = now - self._unknown_since > _FORGOTTEN
            self.report = None if self.ended else self.report
        except KnitError as error:
            now = self._clock.monotonic()
            self._faulty_since = self._faulty_since or now
            if not error.transient or now - self._faulty_since > _RETRY_TIMEOUT:
                raise
            self._say(f"{error} Following goes on.")
        else:
            self._faulty_since = self._unknown_since = None
            self.ended = self.report.ended
        return self.ended

    def _update(self) -> bool:
        """Pass on which containers there are; whether something is new."""
        rows: list[Container] = []
        if self.report is not None and self.report.type != APPLICATION_TYPE:
            self._say(FOREIGN)
        try:
            rows = self._application.containers(retry_timeout=0)
        except NotAuthorized as error:
            self._say(f"which containers there are cannot be asked: {error}")
        except KnitError:
            pass  # between two ApplicationMasters, or before the first; those that are known are read meanwhile
        master = master_row(self.report) if self._selection.master and self.report else None
        rows += [master] if master else []
        # A new dictionary: this thread may outlive the wait for its end, while the rows are read elsewhere.
        self.rows = {**self.rows, **{row.yarn: row for row in rows if row.yarn}}
        return self._follower.update(rows)

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._follower.channel.put(remark(ITSELF, text))


def follow(
    application: LoggedApplication, make: Callable[[], Follower], selection: Selection, rows: dict[str, Container]
) -> Generator[Block, None, ApplicationReport | None]:
    """What its containers write, until it ends; returns what the ResourceManager says of the end.

    Args:
        application: which.
        make: makes the follower.
        selection: what is wanted.
        rows: gets the containers that were seen, by YARN's id.
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
    """What its containers have written up to now."""
    if report.type != APPLICATION_TYPE:
        yield remark(ITSELF, FOREIGN)
    try:
        rows = application.containers(retry_timeout=0)
    except NotAuthorized:
        raise
    except KnitError:
        rows = []  # there are none yet, or the ApplicationMaster is being replaced
    master = master_row(report) if selection.master else None
    rows += [master] if master else []
    selection.check(rows)
    follower = make()
    try:
        follower.update(rows)
        yield from drained(follower)
    finally:
        follower.close()


def drained(follower: Follower) -> Iterator[Block]:
    """What a follower that looks once finds."""
    while True:
        over = follower.idle()  # before the last look into the channel
        block = follower.channel.get(0.0 if over else 1.0)
        if block is not None:
            yield block
        elif over or follower.channel.closed:
            break
    if follower.crash is not None:
        raise follower.crash


__all__ = ["ITSELF", "RunningUploads", "drained", "follow", "master_row", "once"]
