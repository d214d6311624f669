"""What the page asks clusters for: one list of applications per interval for all who watch, and one view of each
application that somebody looks at. Nobody watches: nothing is asked.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from knit_airflow.page.container_log import LogPart, read_log
from knit_airflow.page.detail_view import view_of
from knit_airflow.page.single_flight import Answer, Busy, Late, Pool, SingleFlight
from knit_airflow.tags import deployment_tag

if TYPE_CHECKING:
    from knit_core import ApplicationReport, Knit

log = logging.getLogger(__name__)

#: Seconds between two lists; for which one application's view counts; for which the nodes' and queues' state does.
LIST_EVERY, VIEW_FRESH, NODES_FRESH = 3.0, 2.0, 20.0
#: Seconds for one reply of a service of the cluster.
REPLY_TIMEOUT = 8.0
#: Seconds that a viewer waits for a first answer; for a newer one than that which is there.
FIRST, NEWER = 12.0, 2.0
#: Views that are kept.
VIEWS = 200
#: Seconds for the orderly end of an application.
GRACE = 10.0


@dataclass(frozen=True)
class ApplicationList:
    """A list of applications.

    Attributes:
        reports: newest first.
        at: Unix time of it; None: there never was one.
        error: why there is no newer one; empty when there is.
    """

    reports: Sequence[ApplicationReport]
    at: float | None
    error: str = ""


@dataclass(frozen=True)
class NodesAndQueues:
    """What a waiting application waits in: running nodes, and names of the queues that take applications."""

    nodes: Sequence[Any]
    queues: Sequence[str]


class ClusterCache:
    """The cluster of one connection. `connect` blocks; it is called again after a fault, as the connection may change."""

    def __init__(self, knit_conn_id: str, deployment: str, connect: Callable[[str], Knit], every: float) -> None:
        self.knit_conn_id = knit_conn_id
        self._tag = deployment_tag(deployment)
        self._connect = connect
        self._client: Knit | None = None
        self._connecting = threading.Lock()
        # The list has threads of its own: it comes although every view hangs.
        self._lists = Pool("knit-page-list", 2, 8)
        self._views = Pool("knit-page-view", 8, 64)
        self._actions = Pool("knit-page-act", 4, 16)
        self._list = SingleFlight(self._lists, self._ask_list, every)
        self._nodes_and_queues = SingleFlight(self._lists, self._ask_nodes_and_queues, NODES_FRESH)
        self._view_calls: OrderedDict[str, SingleFlight[dict[str, Any]]] = OrderedDict()

    async def applications(self, fresh: float | None = None) -> ApplicationList:
        """All of this deployment; an old list with an error while there is no new one."""
        before = self._list.good
        try:
            answer = await self._list.answer(FIRST if before is None else NEWER, fresh)
            error = "" if answer.error is None else error_text(answer.error)
        except Exception as late:
            error = error_text(late)
        good = self._list.good
        return ApplicationList(good.get() if good is not None else (), good.at if good is not None else None, error)

    async def nodes_and_queues(self) -> NodesAndQueues | None:
        """Nodes and queues; None while they are not known."""
        answer: Answer[NodesAndQueues] | None
        try:
            answer = await self._nodes_and_queues.answer(NEWER)
        except Exception:
            answer = self._nodes_and_queues.good
        return answer.value if answer is not None else None

    async def view(self, app_id: str) -> dict[str, Any]:
        """One application in detail, as `detail_view.view_of` makes it.

        Raises:
            knit_core.errors.KnitError: the cluster does not tell.
            Busy, Late: it is slow.
        """
        view_call = self._view_calls.get(app_id)
        if view_call is None:
            view_call = self._view_calls[app_id] = SingleFlight(self._views, lambda: self._ask_view(app_id), VIEW_FRESH)
            while len(self._view_calls) > VIEWS:
                self._view_calls.popitem(last=False)
        self._view_calls.move_to_end(app_id)
        before = view_call.good
        try:
            answer = await view_call.answer(FIRST if before is None else NEWER)
        except Late:
            if before is None:
                raise
            return {**before.get(), "late": True}
        return answer.get()

    async def log(self, app_id: str, container: str, cursor: dict[str, int] | None) -> LogPart:
        """The next lines of a container's log."""
        return await self._views.run(lambda: read_log(self._knit().attach(app_id), container, cursor), FIRST)

    async def act(self, app_id: str, action: Callable[[Any], Any]) -> Any:
        """Do something to an application.

        Raises:
            knit_core.errors.KnitError: it was refused, or the cluster does not answer.
            Busy, Late: it is slow; a late action goes on.
        """
        try:
            return await self._actions.run(lambda: action(self._knit().attach(app_id)), FIRST + 2 * GRACE)
        finally:
            self.forget()
            if app_id in self._view_calls:
                self._view_calls[app_id].forget()

    def forget(self) -> None:
        """The next one who asks gets a new list."""
        self._list.forget()

    def close(self) -> None:
        """End its threads, after the calls under way."""
        for pool in (self._lists, self._views, self._actions):
            pool.close()

    def _knit(self) -> Knit:
        with self._connecting:
            client = self._client
            if client is None:
                client = self._client = self._connect(self.knit_conn_id)
                client.retry_timeout = REPLY_TIMEOUT
            return client

    def _ask_list(self) -> Sequence[ApplicationReport]:
        from knit_core.launch.plan import APPLICATION_TYPE
        from knit_core.model.states import State

        try:
            found = self._knit().resourcemanager.apps(
                states=list(State), tags=[self._tag], types=[APPLICATION_TYPE], pending=True
            )
        except Exception:
            self._client = None  # its connection may have been corrected since
            raise
        return found[::-1]

    def _ask_nodes_and_queues(self) -> NodesAndQueues:
        rm = self._knit().resourcemanager
        queues: list[str] = []
        with contextlib.suppress(Exception):  # some clusters show the scheduler to administrators only
            queues = [queue.path for queue in rm.queues() if queue.leaf and queue.running]
        return NodesAndQueues([node for node in rm.nodes() if node.running], queues)

    def _ask_view(self, app_id: str) -> dict[str, Any]:
        last = self._nodes_and_queues.good
        fresh = last is not None and time.time() - last.at < NODES_FRESH
        known = last.get() if last is not None and fresh else None
        return view_of(self._knit().attach(app_id), known or self._ask_nodes_and_queues)


class ClusterCaches:
    """The clusters of all connections that the page shows.

    Parameters:
        connections: their ids.
        deployment: the name of this Airflow.
        connect: makes a client from a connection's id.
        every: seconds between two lists.
    """

    def __init__(
        self, connections: Sequence[str], deployment: str, connect: Callable[[str], Knit], every: float = LIST_EVERY
    ) -> None:
        self._clusters = {each: ClusterCache(each, deployment, connect, every) for each in connections}

    async def applications(self, fresh: float | None = None) -> list[tuple[ClusterCache, ApplicationList]]:
        """Each cluster's list."""
        return [(cluster, await cluster.applications(fresh)) for cluster in self._clusters.values()]

    def forget(self) -> None:
        """The next one who asks gets new lists."""
        for cluster in self._clusters.values():
            cluster.forget()

    def close(self) -> None:
        """Nothing is asked any more; calls under way are waited for."""
        for cluster in self._clusters.values():
            cluster.close()

    async def find(self, app_id: str) -> tuple[ClusterCache, ApplicationReport] | None:
        """An application and its cluster; None: it is not one of this deployment."""
        for fresh in (None, 1.0):
            for cluster, seen in await self.applications(fresh):
                for report in seen.reports:
                    if report.id == app_id:
                        return cluster, report
        return None


def error_text(error: Exception) -> str:
    """An error as viewers read it; what is no error of Knit's own goes to the server's log instead."""
    from knit_airflow.version_compat import AirflowException
    from knit_core.errors import KnitError

    if isinstance(error, (KnitError, AirflowException, Busy, Late)):
        return str(error)
    log.error("The Knit page failed", exc_info=error)
    return f"{type(error).__name__}; the api-server's log says more."
