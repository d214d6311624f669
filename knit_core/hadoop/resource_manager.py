"""The ResourceManager's REST API: one method for each request, with typed results.

Paths and bodies are those of Hadoop's "ResourceManager REST API's" documentation. More than 400 lines, because it is one class
of short methods.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar

from knit_core.config.hadoop_conf import HadoopConf, from_reply
from knit_core.errors import (
    ApplicationNotFound,
    ConfigError,
    NotAuthorized,
    NotFound,
    QueueRefused,
    RequestRefused,
    ServiceUnavailable,
    UnexpectedReply,
)
from knit_core.hadoop.http import NO_SUBCLUSTER, HttpService
from knit_core.hadoop.http.retry import NEVER, RetryPolicy
from knit_core.model.cluster_facts import ClusterTotals, NewApplication, Node, Queue
from knit_core.model.ids import ApplicationId
from knit_core.model.lenient_json import number, rows, texts
from knit_core.model.queues import QueueHeadroom, headroom_of, queues_of, scheduler_info
from knit_core.model.report import ApplicationReport, parse_report
from knit_core.model.states import State
from knit_core.monitoring.refusals import refusal_of

T = TypeVar("T")
_PORT_HINT = " The ResourceManager's web port is 8088 (https: 8090) unless the cluster sets another."
_MAX_REASON = 1000  # characters
UNLIMITED = "UNLIMITED"
_DESELECT_PENDING = "timeouts,appNodeLabelExpression,amNodeLabelExpression,resourceInfo"
_DESELECT = f"resourceRequests,{_DESELECT_PENDING}"


class ResourceManager:
    """Calls to one ResourceManager (or the active one of several)."""

    def __init__(self, http: HttpService) -> None:
        self.http = http

    @property
    def address(self) -> str:
        """Its web address."""
        return self.http.address

    def info(self, retry: RetryPolicy | None = None) -> dict[str, Any]:
        """`clusterInfo`: id, state, haState, versions, startedOn. Of the Router of a federation: of its first cluster, and
        `subCluster` for all.

        Raises:
            UnexpectedReply: the server is not a ResourceManager.
            ServiceUnavailable: it is the Router of a federation without an active cluster.
        """
        action = "get the cluster's state"
        try:
            reply = self.http.get_json("/ws/v1/cluster/info", action=action, retry=retry)
            router = rows(reply, "subCluster")
            if not router and "clusterInfo" not in reply and "startedOn" in reply:
                text = (
                    f"{action}: {self.address} is the Router of a YARN federation, and none of its clusters is active"
                )
                raise ServiceUnavailable(text, address=self.address, action=action)
            found: dict[str, Any] = {**reply, **router[0]} if router else reply["clusterInfo"]
        except (NotFound, KeyError, TypeError):
            raise UnexpectedReply(
                f"The server at {self.address} is not a YARN ResourceManager (it has no /ws/v1/cluster/info)."
                + (self.http.instead(self.address) or _PORT_HINT),
                address=self.address,
                action=action,
            ) from None
        return found

    def conf(self) -> HadoopConf | None:
        """All effective settings of the ResourceManager; None when only administrators may read them."""
        try:
            return from_reply(self.http.get_json("/conf", action="read the cluster's configuration"), self.address)
        except (RequestRefused, UnexpectedReply, ConfigError):
            return None

    def new_application(self) -> NewApplication:
        """A new application id. Nothing exists with it before the submission."""
        action = "get an application id"
        try:
            response = self.http.request(
                "POST", "/ws/v1/cluster/apps/new-application", action=action, idempotent=True, headers=_JSON
            )
            reply = self.http.json_of(response, action)
            most = reply["maximum-resource-capability"]
            others = _others(most)
            return NewApplication(
                str(ApplicationId.parse(reply["application-id"])), int(most["memory"]), int(most["vCores"]), others
            )
        except (NotFound, KeyError, TypeError):
            self.info()  # raises a clearer error when this is not a ResourceManager
            raise
        except RequestRefused as error:
            raise self._of_router(error) or error from None

    def _of_router(self, error: RequestRefused) -> RequestRefused | None:
        """The error for a submission that the Router of a federation refused; None for another refusal."""
        if NO_SUBCLUSTER not in str(error):
            return None
        return RequestRefused(
            f"{error}. {self.address} is the Router of a YARN federation. Routers of Hadoop 3.4 do not accept applications "
            "over HTTP, and all others only while a cluster of the federation is active: give the address of the "
            "ResourceManager of one of its clusters (KNIT_RESOURCEMANAGER)",
            status=error.status,
            exception=error.exception,
            address=error.address,
            action=error.action,
        )

    def check_active(self, action: str) -> None:
        """Check, by one request, that the ResourceManager has loaded its state.

        A standby counts as one that has: it answers nothing of applications itself, but redirects to the active one, and becomes
        active only after it has loaded the state (org.apache.hadoop.yarn.server.resourcemanager.webapp.RMWebAppFilter).

        Args:
            action: for the error message.

        Raises:
            ServiceUnavailable: the ResourceManager is starting.
        """
        state = self.info(NEVER).get("haState")
        if state not in {"ACTIVE", "STANDBY", None}:
            raise ServiceUnavailable(
                f"{action}: the ResourceManager at {self.address} is starting ({state})",
                address=self.address,
                action=action,
                not_carried_out=True,
            )

    def submit(self, body: Mapping[str, Any], retry: RetryPolicy | None = None) -> None:
        """POST a submission body; returns on 202.

        Call `check_active` before the submission of an id that may have been submitted before. A ResourceManager that is
        starting accepts it, finds the id again in its stored state, and exits ("Application … is already present!",
        RMAppManager.recoverApplication; Hadoop 3.4.2).

        Raises:
            ConnectionFailed: unless `before_sending`, it is not known whether it arrived: check with `app`.
        """
        try:
            self.http.request(
                "POST",
                "/ws/v1/cluster/apps",
                action=f"submit {body['application-id']}",
                body=body,
                idempotent=False,
                expect=(202,),
                retry=retry,
            )
        except RequestRefused as error:
            raise self._of_router(error) or error from None

    def app(self, app_id: str, retry: RetryPolicy | None = None) -> ApplicationReport:
        """The report of one application.

        A ResourceManager that restarts answers requests before it has loaded its state, and finds no application then. That
        is raised as ServiceUnavailable, not as ApplicationNotFound.

        Raises:
            ApplicationNotFound: the ResourceManager has no record of the application.
            ServiceUnavailable: the ResourceManager is starting.
        """
        path, params = f"/ws/v1/cluster/apps/{app_id}", {"deSelects": _DESELECT}
        action = f"get the report of {app_id}"
        try:
            reply = self._of_application(
                action, lambda: self.http.get_json(path, action=action, params=params, retry=NEVER), retry
            )
        except RequestRefused as error:
            if not _says_not_found(error):
                raise
            raise ApplicationNotFound(
                f"The ResourceManager at {self.address} has no record of {app_id}: it was never submitted there, it ended so long "
                "ago that its record was removed, or the ResourceManager restarted without recovery (see: knit list)",
                status=404,
                address=self.address,
                action=action,
            ) from None
        return parse_report(reply["app"], self.address)

    def _of_application(self, action: str, request: Callable[[], T], retry: RetryPolicy | None = None) -> T:
        """The value of a request about one application; "not found" counts only after the ResourceManager has loaded its state.

        Args:
            action: for error messages.
            request: idempotent, and without repetition of its own: the policy repeats the request with its check.
            retry: None: the default policy.
        """

        def checked() -> T:
            try:
                return request()
            except RequestRefused as error:
                if not _says_not_found(error):
                    raise
            self.check_active(action)
            return request()  # it may have loaded its state in between

        return self.http.policy(retry).call(checked, idempotent=True)

    def pending(self, app_id: str) -> list[dict[str, Any]]:
        """The containers that an application has requested and not received (`resourceRequests` for any node)."""
        path, action = f"/ws/v1/cluster/apps/{app_id}", f"get the pending requests of {app_id}"
        reply = self._of_application(action, lambda: self.http.get_json(path, action=action, retry=NEVER))
        return [dict(row) for row in rows(reply, "app", "resourceRequests") if row.get("resourceName") == "*"]

    def apps(
        self,
        *,
        states: Iterable[State] | None = None,
        tags: Iterable[str] | None = None,
        user: str | None = None,
        queue: str | None = None,
        types: Iterable[str] | None = None,
        name: str | None = None,
        started_since: int | None = None,
        finished_since: int | None = None,
        pending: bool = False,
    ) -> list[ApplicationReport]:
        """Applications that match all filters, oldest first.

        A ResourceManager that has not loaded its state yet lists some of them or none, which is an error, as for `app`.
        Tags and types are checked here, too: a gateway may leave out parameters (seen with Knox 2.0.0).

        Args:
            states, tags, user, queue, types, name: only applications with these.
            started_since, finished_since: only started, or finished, at or after this (ms since the epoch, by the
                ResourceManager's clock).
            pending: include the containers that are requested and not received.
        """
        params = {"deSelects": _DESELECT_PENDING if pending else _DESELECT}
        wanted_tags = {tag for each in tags or () for tag in each.lower().split(",")}
        wanted_types = set(types or ())
        for key, value in (
            ("states", ",".join(sorted(map(str, states))) if states else None),
            ("applicationTags", ",".join(sorted(wanted_tags))),
            ("applicationTypes", ",".join(sorted(wanted_types))),
            ("user", user),
            ("queue", queue),
            ("name", name),
            ("startedTimeBegin", None if started_since is None else str(started_since)),
            ("finishedTimeBegin", None if finished_since is None else str(finished_since)),
        ):
            if value:
                params[key] = value
        action = "list applications"

        def listed() -> Any:
            reply = self.http.get_json("/ws/v1/cluster/apps", action=action, params=params, retry=NEVER)
            with contextlib.suppress(RequestRefused):  # its state may be closed to this user
                self.check_active(action)
            return reply

        found = rows(self.http.policy(None).call(listed, idempotent=True), "apps", "app")
        reports = [
            report
            for report in (parse_report(row, self.address) for row in found)
            if (not wanted_tags or wanted_tags & {tag.lower() for tag in report.tags})
            and (not wanted_types or not report.type or report.type in wanted_types)
        ]
        return sorted(reports, key=lambda report: ApplicationId.parse(report.id))

    def kill(self, app_id: str, reason: str = "") -> None:
        """Request the end of an application. Without effect on one that has ended.

        Args:
            app_id: the application.
            reason: YARN puts it into the application's diagnostics; control characters become spaces.
        """
        diagnostics = " ".join(reason.split())[:_MAX_REASON]
        body = {"state": "KILLED", **({"diagnostics": diagnostics} if diagnostics else {})}
        self._change(app_id, "state", body, f"kill {app_id}")

    def move(self, app_id: str, queue: str) -> None:
        """Move an application to another queue.

        Raises:
            QueueRefused: the queue does not exist, is stopped, or has not enough capacity.
            NotAuthorized: the user may not submit to that queue, or may not change the application.
        """
        try:
            self._change(app_id, "queue", {"queue": queue}, f"move {app_id} to the queue {queue!r}")
        except ApplicationNotFound:
            raise
        except RequestRefused as error:
            refusal = refusal_of(str(error))
            text = f"{error}: {refusal.text}; {refusal.advice}" if refusal else str(error)
            kind = (
                NotAuthorized if isinstance(error, NotAuthorized) or (refusal and refusal.permission) else QueueRefused
            )
            raise kind(text, status=error.status, exception=error.exception, address=error.address) from None

    def set_priority(self, app_id: str, priority: int) -> None:
        """Set the priority of an application within its queue; YARN limits it to the cluster's maximum."""
        self._change(app_id, "priority", {"priority": priority}, f"set the priority of {app_id}")

    def _change(self, app_id: str, what: str, body: Mapping[str, Any], action: str) -> None:
        path = f"/ws/v1/cluster/apps/{app_id}/{what}"
        try:
            self._of_application(action, lambda: self.http.request("PUT", path, action=action, body=body, retry=NEVER))
        except RequestRefused as error:
            if _says_not_found(error):
                raise ApplicationNotFound(str(error), status=404, address=error.address, action=action) from None
            raise

    def lifetime(self, app_id: str) -> str:
        """The time at which YARN ends the application, in YARN's notation; UNLIMITED when there is none."""
        action = f"get the lifetime of {app_id}"
        path = f"/ws/v1/cluster/apps/{app_id}/timeouts/LIFETIME"
        reply = self._of_application(action, lambda: self.http.get_json(path, action=action, retry=NEVER))
        return str((reply.get("timeout") or reply).get("expiryTime") or UNLIMITED)

    def set_lifetime(self, app_id: str, expires: float) -> None:
        """Set the time at which YARN ends the application.

        Args:
            app_id: the application.
            expires: seconds since the epoch.
        """
        when = datetime.fromtimestamp(expires, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
        body = {"timeout": {"type": "LIFETIME", "expiryTime": when}}
        self._change(app_id, "timeout", body, f"set the lifetime of {app_id}")

    def queues(self) -> list[Queue]:
        """All queues of the Capacity or Fair Scheduler; empty for schedulers without queues (FIFO)."""
        reply = self.http.get_json("/ws/v1/cluster/scheduler", action="get the scheduler's queues")
        return queues_of(scheduler_info(reply))

    def queue_headroom(self) -> list[QueueHeadroom]:
        """The free resources of every queue; empty for schedulers without queues (FIFO)."""
        reply = self.http.get_json("/ws/v1/cluster/scheduler", action="get the scheduler's queues")
        return headroom_of(scheduler_info(reply))

    def totals(self) -> ClusterTotals:
        """The resources of all active nodes together."""
        found = self.http.get_json("/ws/v1/cluster/metrics", action="get the cluster's size")["clusterMetrics"]
        return ClusterTotals(int(found["totalMB"]), int(found["totalVirtualCores"]), int(found["activeNodes"]))

    def nodes(self, states: Iterable[str] = ()) -> list[Node]:
        """The nodes of the cluster; only those in one of `states`, when given."""
        query = {"states": ",".join(states)} if states else None
        reply = self.http.get_json("/ws/v1/cluster/nodes", action="list the nodes", params=query)
        return [_node(row) for row in rows(reply, "nodes", "node")]

    def node_labels(self) -> list[str]:
        """The cluster's node labels; empty when node labels are not enabled."""
        reply = self.http.get_json("/ws/v1/cluster/get-node-labels", action="get the node labels")
        return [str(row["name"]) for row in rows(reply, "nodeLabelInfo")]

    def attempts(self, app_id: str) -> list[dict[str, Any]]:
        """Attempts of an application, oldest first."""
        path, action = f"/ws/v1/cluster/apps/{app_id}/appattempts", f"list attempts of {app_id}"
        reply = self._of_application(action, lambda: self.http.get_json(path, action=action, retry=NEVER))
        return [dict(row) for row in rows(reply, "appAttempts", "appAttempt")]


def _says_not_found(error: RequestRefused) -> bool:
    return error.status == 404 or "NotFound" in error.exception


def subclusters(info: Mapping[str, Any]) -> list[str]:
    """The ids of a federation's clusters, given `ResourceManager.info()`; empty for a ResourceManager."""
    return [str(row.get("subClusterId") or "?") for row in rows(info, "subCluster")]


def or_empty(call: Callable[[], list[T]]) -> list[T]:
    """The result of `call`; empty when only administrators may see it. YARN checks the queue at submission then."""
    try:
        return call()
    except (RequestRefused, KeyError):
        return []


_JSON = {"Content-Type": "application/json"}


def _others(resource: Any) -> dict[str, int]:
    """Other resource types than memory and cores."""
    found = rows(resource, "resourceInformations", "resourceInformation")
    return {str(row["name"]): int(row["value"]) for row in found if row["name"] not in {"memory-mb", "vcores"}}


def _node(row: Mapping[str, Any]) -> Node:
    total = row.get("totalResource") or {}
    used = ("usedMemoryMB", "availMemoryMB"), ("usedVirtualCores", "availableVirtualCores")
    memory, vcores = (sum(number(row.get(key)) for key in keys) for keys in used)
    return Node(
        str(row["nodeHostName"]),
        str(row.get("rack") or ""),
        str(row.get("state") or ""),
        number(total.get("memory")) or memory,
        number(total.get("vCores")) or vcores,
        _others(total),
        next(iter(texts(row, "nodeLabels")), ""),
        str(row.get("id") or ""),
        number(row.get("availMemoryMB")),
        number(row.get("availableVirtualCores")),
    )
