"""Requests of the page to the clusters: for all viewers together one list of applications per interval, and one view of each
application that is open. Without viewers there are no requests.
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

#: Seconds for which a list, the view of one application, and the state of nodes and queues are fresh.
LIST_EVERY, VIEW_FRESH, NODES_FRESH = 3.0, 2.0, 20.0
#: Seconds for one reply of a service of the cluster.
REPLY_TIMEOUT = 8.0
#: Seconds that a request waits for the first answer, and for a newer one when there is an older one.
FIRST, NEWER = 12.0, 2.0
#: So many views are kept.
VIEWS = 200
#: Seconds for the ApplicationMaster to end by itself.
GRACE = 10.0


@dataclass(frozen=True)
class ApplicationList:
    """A list of applications.

    Attributes:
        reports: newest first.
        at: Unix time of the list; None: there is no list yet.
        error: why the last request failed; empty when it succeeded.
    """

    reports: Sequence[ApplicationReport]
    at: float | None
    error: str = ""


@dataclass(frozen=True)
class NodesAndQueues:
    """Running nodes, and names of the queues that accept applications: why an application waits depends on them."""

    nodes: Sequence[Any]
    queues: Sequence[str]


class ClusterCache:
    """The cluster of one connection. `connect` blocks; it is called again after a fault, as the connection may have changed."""

    def __init__(self, knit_conn_id: str, deployment: str, connect: Callable[[str], Knit], every: float) -> None:
        self.knit_conn_id = knit_conn_id
        self._tag = deployment_tag(deployment)
        self._connect = connect
        self._client: Knit | None = None
        self._connecting = threading.Lock()
        # The list has its own threads: it works although every view hangs.
        self._lists = Pool("knit-page-list", 2, 8)
        self._views = Pool("knit-page-view", 8, 64)
        self._actions = Pool("knit-page-act", 4, 16)
        self._list = SingleFlight(self._lists, self._request_list, every)
        self._nodes_and_queues = SingleFlight(self._lists, self._request_nodes_and_queues, NODES_FRESH)
        self._view_calls: OrderedDict[str, SingleFlight[dict[str, Any]]] = OrderedDict()

    async def applications(self, fresh: float | None = None) -> ApplicationList:
        """All applications of this deployment; after a failed request the previous list and the error."""
        before = self._list.good
        try:
            answer = await self._list.answer(FIRST if before is None else NEWER, fresh)
            error = "" if answer.error is None else error_text(answer.error)
        except Exception as failure:
            error = error_text(failure)
        good = self._list.good
        return ApplicationList(good.get() if good is not None else (), good.at if good is not None else None, error)

    async def nodes_and_queues(self) -> NodesAndQueues | None:
        """Nodes and queues; None: unknown."""
        answer: Answer[NodesAndQueues] | None
        try:
            answer = await self._nodes_and_queues.answer(NEWER)
        except Exception:
            answer = self._nodes_and_queues.good
        return answer.value if answer is not None else None

    async def view(self, app_id: str) -> dict[str, Any]:
        """One application in detail, as `detail_view.view_of` makes it.

        Raises:
            knit_core.errors.KnitError: the request failed.
            Busy, Late: the cluster is slow.
        """
        view_call = self._view_calls.get(app_id)
        if view_call is None:
            view_call = self._view_calls[app_id] = SingleFlight(
                self._views, lambda: self._request_view(app_id), VIEW_FRESH
            )
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
        """Run an action on an application.

        Raises:
            knit_core.errors.KnitError: the action was refused, or the cluster does not answer.
            Busy, Late: the cluster is slow; after Late, the action continues.
        """
        try:
            return await self._actions.run(lambda: action(self._knit().attach(app_id)), FIRST + 2 * GRACE)
        finally:
            self.forget()
            if app_id in self._view_calls:
                self._view_calls[app_id].forget()

    def forget(self) -> None:
        """Discard the list: the next request gets a new one."""
        self._list.forget()

    def close(self) -> None:
        """End the threads, after the calls under way."""
        for pool in (self._lists, self._views, self._actions):
            pool.close()

    def _knit(self) -> Knit:
        with self._connecting:
            client = self._client
            if client is None:
                client = self._client = self._connect(self.knit_conn_id)
                client.retry_timeout = REPLY_TIMEOUT
            return client

    def _request_list(self) -> Sequence[ApplicationReport]:
        from knit_core.launch.plan import APPLICATION_TYPE
        from knit_core.model.states import State

        try:
            found = self._knit().resourcemanager.apps(
                states=list(State), tags=[self._tag], types=[APPLICATION_TYPE], pending=True
            )
        except Exception:
            self._client = None  # the connection may have been corrected since
            raise
        return found[::-1]

    def _request_nodes_and_queues(self) -> NodesAndQueues:
        rm = self._knit().resourcemanager
        queues: list[str] = []
        with contextlib.suppress(Exception):  # some clusters show the scheduler only to administrators
            queues = [queue.path for queue in rm.queues() if queue.leaf and queue.running]
        return NodesAndQueues([node for node in rm.nodes() if node.running], queues)

    def _request_view(self, app_id: str) -> dict[str, Any]:
        last = self._nodes_and_queues.good
        fresh = last is not None and time.time() - last.at < NODES_FRESH
        known = last.get() if last is not None and fresh else None
        return view_of(self._knit().attach(app_id), known or self._request_nodes_and_queues)


class ClusterCaches:
    """The clusters of all connections that the page shows.

    Parameters:
        connections: their ids.
        deployment: the name of this Airflow.
        connect: makes a client from a connection's id.
        every: seconds for which a list is fresh.
    """

    def __init__(
        self, connections: Sequence[str], deployment: str, connect: Callable[[str], Knit], every: float = LIST_EVERY
    ) -> None:
        self._clusters = {each: ClusterCache(each, deployment, connect, every) for each in connections}

    async def applications(self, fresh: float | None = None) -> list[tuple[ClusterCache, ApplicationList]]:
        """Each cluster's list."""
        return [(cluster, await cluster.applications(fresh)) for cluster in self._clusters.values()]

    def forget(self) -> None:
        """Discard the lists: the next request gets new ones."""
        for cluster in self._clusters.values():
            cluster.forget()

    def close(self) -> None:
        """End all threads, after the calls under way."""
        for cluster in self._clusters.values():
            cluster.close()

    async def find(self, app_id: str) -> tuple[ClusterCache, ApplicationReport] | None:
        """An application and its cluster; None: it does not belong to this deployment."""
        for fresh in (None, 1.0):
            for cluster, seen in await self.applications(fresh):
                for report in seen.reports:
                    if report.id == app_id:
                        return cluster, report
        return None


def error_text(error: Exception) -> str:
    """The text of an error for viewers; the text of an unexpected error is only in the server's log."""
    from knit_airflow.version_compat import AirflowException
    from knit_core.errors import KnitError

    if isinstance(error, (KnitError, AirflowException, Busy, Late)):
        return str(error)
    log.error("The Knit page failed", exc_info=error)
    return f"{type(error).__name__}: see the api-server's log."
