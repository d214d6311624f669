"""DaskYARNCluster: a Dask cluster as one application on YARN."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from distributed import Scheduler as DaskScheduler
from distributed import Status, rpc
from distributed.deploy import Cluster
from tornado.ioloop import PeriodicCallback

from knit_core.application import Application
from knit_core.client import Knit
from knit_core.dask_yarn import launching
from knit_core.dask_yarn.following import Follower
from knit_core.dask_yarn.launching import Scheduler
from knit_core.dask_yarn.programs.dask_node import listen_for_unrunnable, versions
from knit_core.dask_yarn.services import SCHEDULER_KEY, TAG, WorkerGroup, described, layout_of
from knit_core.dask_yarn.sizing import Sizing, in_thread
from knit_core.dask_yarn.tls import read_back, security_of
from knit_core.errors import ApplicationEnded, KnitError, NotFound, WaitTimeout
from knit_core.model.result import Result
from knit_core.model.units import seconds

_CENSUS_EVERY = 5000  # ms between two counts of containers


class DaskYARNCluster(Sizing, Cluster):  # type: ignore[misc]
    """A Dask scheduler and workers in the containers of one YARN application.

        with DaskYARNCluster(env=env, n_workers=10, memory="4 GiB", vcores=2) as cluster, Client(cluster) as client:
            client.submit(work).result()

    A with-block ends the cluster that it launched. `close` only disconnects: the cluster runs on until it is idle for
    `idle_timeout`, and `from_application(cluster.app.id)` connects again. `shutdown` ends it. Without `n_workers` and
    `groups` the application is launched on first use: by `start`, `scale`, `adapt`, a with-block or a Client.

    Args:
        env: environment of the containers, with dask and distributed in the locally installed versions.
        n_workers: number of containers with workers.
        groups: several groups of workers: WorkerGroup by name; `scale` and `adapt` use the first one by default.
        scheduler: "cluster" for a container of its own; "local" for this process: then the cluster ends with it.
        security: True for TLS with certificates made for this cluster; False for no TLS; or a `distributed.Security`.
        start_timeout: maximum seconds (or "5 min") until the scheduler is ready.
        knit: the client for the launch; by default `Knit()`.
        name, queue, tags, priority, acls, lifetime, attempts: of the application.
        checks: whether queue and sizes are checked before the upload.
        asynchronous, loop, quiet: as in `distributed.deploy.Cluster`.
        options: fields of WorkerGroup (memory, vcores, processes, preload …) and Layout (idle_timeout, scheduler_memory …).

    Raises:
        SpecError: an option is unknown, or contradicts another one.
        PreflightError, QueueRefused, …: as `Knit.submit`.
        WaitTimeout: no scheduler within `start_timeout`, with the reason; the application has been ended.
        ApplicationFailed: it failed before the scheduler was ready.
    """

    def __init__(
        self,
        env: Any = None,
        *,
        n_workers: int | None = None,
        groups: Mapping[str, WorkerGroup] | None = None,
        scheduler: str = "cluster",
        security: Any = None,
        start_timeout: float | str = 300.0,
        knit: Knit | None = None,
        name: str = "dask",
        queue: str | None = None,
        tags: Iterable[str] = (),
        checks: bool = True,
        asynchronous: bool = False,
        loop: Any = None,
        quiet: bool = True,
        _app: Application | None = None,
        **options: Any,
    ) -> None:
        if scheduler not in {"cluster", "local"}:
            raise ValueError(f"scheduler must be 'cluster' or 'local', not {scheduler!r}")
        application: dict[str, Any] = {
            key: options.pop(key) for key in ("priority", "acls", "lifetime", "attempts") if key in options
        }
        self._layout = layout_of(
            n_workers,
            groups,
            {"env": env, "local": scheduler == "local", **options},
            inspect.signature(type(self)).parameters,
        )
        self._fields: dict[str, Any] = {
            "name": name,
            "queue": queue,
            "tags": tuple(tags),
            "checks": checks,
            **application,
        }
        self._timeout = seconds(start_timeout)
        self._given_security = security
        self._security: Any = None
        self._knit = knit
        self._own_knit = knit is None
        self._owner = _app is None
        self._scheduler: Scheduler | None = None
        self._dashboard = ""
        self._local: DaskScheduler | None = None
        self._follower: Follower | None = None
        self._result: Result | None = None
        #: The application; None before the launch.
        self.app: Application | None = _app
        Sizing.__init__(self)
        Cluster.__init__(self, asynchronous=asynchronous, loop=loop, quiet=quiet)
        self.periodic_callbacks["knit-census"] = PeriodicCallback(self._refresh_quietly, _CENSUS_EVERY)
        if not self.called_from_running_loop:
            self._loop_runner.start()
            if n_workers is not None or groups is not None or _app is not None:
                try:
                    self.sync(self._start)
                except BaseException:
                    self._loop_runner.stop()
                    raise

    @classmethod
    def from_application(cls, app_id: str, *, knit: Knit | None = None, **options: Any) -> DaskYARNCluster:
        """Attach to a running cluster, from any process or machine with the same user and staging folder.

        Args:
            app_id: the application's id.
            knit: the client.
            options: `asynchronous`, `loop`, `quiet`, `start_timeout`.

        Raises:
            NotFound: the application is not a Dask cluster.
            ApplicationEnded: it has ended.
            StagingError: its TLS keys cannot be read.
        """
        client = knit or Knit()
        cluster = cls(knit=client, _app=client.attach(app_id), **options)
        cluster._own_knit = knit is None
        return cluster

    @classmethod
    def from_name(cls, name: str, *, knit: Knit | None = None, **options: Any) -> DaskYARNCluster:
        """As `from_application`, for the newest running cluster with this name."""
        client = knit or Knit()
        return cls.from_application(launching.find(client, name).id, knit=client, **options)

    # -- starting ----------------------------------------------------------

    @property
    def knit(self) -> Knit:
        """The client."""
        return self._client

    @property
    def _client(self) -> Knit:
        if self._knit is None:
            self._knit = Knit()
        return self._knit

    @property
    def security(self) -> Any:
        """`distributed.Security` of the cluster; `Client(cluster)` uses it."""
        if self._security is None:
            self._security = security_of(self._given_security)
        return self._security

    async def _start(self) -> None:
        while self.status == Status.starting:
            await asyncio.sleep(0.01)
        if self.status == Status.running:
            return
        if self.status in {Status.closing, Status.closed, Status.failed}:
            self._raise_ended()
        self.status = Status.starting
        try:
            await self._connect(await self._bring_up())
        except BaseException:
            if self._owner and self.app is not None:
                await in_thread(self.app.kill, "the Dask cluster could not be started", 0)
            await self._disconnect()
            raise

    async def _bring_up(self) -> Scheduler:
        """The scheduler of the attached application, or of a new application."""
        if not self._owner:
            assert self.app is not None
            await in_thread(self._check_running, self.app)
            found = await in_thread(launching.wait_for_scheduler, self.app, self._timeout)
            if self._given_security is None:
                self._security = await in_thread(read_back, self._client.hdfs, self._client.config.staging, found.tls)
            launching.warn_after(found)
            return found
        self.app = await in_thread(launching.launch, self._client, self._layout, self.security, self._fields)
        self._log(f"application {self.app.id}")
        if not self._layout.local:
            found = await in_thread(launching.wait_for_scheduler, self.app, self._timeout)
            launching.warn_after(found)
            return found
        host = launching.address_towards(self._client.resourcemanager.address)
        self._local = DaskScheduler(host=host, port=0, security=self.security, dashboard_address=":0")
        listen_for_unrunnable(self._local)
        await self._local
        await in_thread(launching.wait_for_master, self.app, self._timeout)
        port = self._local.identity()["services"].get("dashboard")
        record = {
            "address": self._local.address,
            "dashboard": f"http://{host}:{port}/status" if port else "",
            "versions": versions(),
            "groups": described(self._layout),
        }
        return Scheduler.parse(record, await in_thread(self.app.kv.put, SCHEDULER_KEY, record))

    def _check_running(self, app: Application) -> None:
        """Raise an error for an application that has ended, or is not a Dask cluster."""
        report = app.report()
        if report.ended:
            self._result = app.final_result(report)
            self._raise_ended()
        if TAG not in report.tags:
            raise NotFound(f"{app.id} ({report.name}) is not a Dask cluster of Knit: it does not have the tag {TAG!r}")

    async def _connect(self, scheduler: Scheduler) -> None:
        assert self.app is not None
        self._scheduler = scheduler
        self.name = self.app.id
        self.scheduler_comm = rpc(scheduler.address, connection_args=self.security.get_connection_args("client"))
        try:
            await Cluster._start(self)
        except OSError as error:
            raise WaitTimeout(
                f"The Dask scheduler of {self.app.id} runs, but this machine cannot connect to {scheduler.address} ({error}). "
                "Open its port (scheduler_ports='8786:8790'), or run the client in the cluster: knit dask run"
            ) from error
        self._log(f"scheduler {scheduler.address}")
        self._dashboard = await in_thread(launching.dashboard_for, scheduler, self.app)
        if self._follower is None:
            later = self.loop.add_callback
            self._follower = Follower(
                self.app,
                scheduler.revision,
                functools.partial(later, self._on_new_scheduler),
                functools.partial(later, self._on_end),
            )

    async def _on_new_scheduler(self, scheduler: Scheduler) -> None:
        """Connect to the scheduler after its restart; the state of the old one is lost."""
        if self._local is not None or self.status != Status.running:
            return
        self._log(f"the scheduler was restarted, and its state is lost; its new address is {scheduler.address}")
        adaptive = self._adaptive
        await Cluster._close(self)
        self.status = Status.starting
        try:
            await self._connect(scheduler)
        except KnitError as error:
            self._log(f"disconnecting from the cluster: {error}")
            await self._disconnect()
            return
        if adaptive is not None:
            self.adapt(type(adaptive), group=getattr(adaptive, "group", None))

    async def _on_end(self, result: Result) -> None:
        """The application has ended."""
        self._result = result
        self._log(f"{result.id} has ended: {result.outcome} {result.diagnostics}".rstrip())
        await self._disconnect()

    def _raise_ended(self) -> None:
        if self._result is None:
            raise ValueError("This DaskYARNCluster is closed; DaskYARNCluster.from_application(id) returns another one")
        self._result.raise_for_outcome()
        raise ApplicationEnded(f"{self._result.id} has ended: {self._result.diagnostics}", self._result)

    def __await__(self) -> Any:
        async def started() -> DaskYARNCluster:
            await self._start()
            return self

        return started().__await__()

    # -- pages ------------------------------------------------------------

    @property
    def dashboard_link(self) -> str:
        """The dashboard's address for a browser on this machine; empty when there is none.

        It is the address from the setting `distributed.dashboard.link` (for a Jupyter server's proxy), else the one on the
        scheduler's node if this machine can connect to it, else `proxied_dashboard_link`.
        """
        return self._dashboard

    @property
    def proxied_dashboard_link(self) -> str:
        """The scheduler's page through the ResourceManager's proxy, for machines without access to nodes; empty without one.

        The proxy does not support websockets: the page lists the pages that work, and how to open the live plots.
        """
        return self.app.pages().get("dashboard", "") if self.app is not None else ""

    # -- the end -----------------------------------------------------------

    async def _disconnect(self) -> None:
        if self._follower is not None:
            self._follower.stop()
        if self.status != Status.closed:
            await Cluster._close(self)
        if self._local is not None:
            await self._local.close()
        if self._own_knit and self._knit is not None and self.app is None:
            self._knit.close()

    async def _close(self) -> None:
        await self._disconnect()
        if self._local is not None and self._result is None:
            await self._end_application()  # its scheduler ran in this process

    def close(self, timeout: float | None = None) -> Any:
        """Disconnect from the cluster, which runs on; one with a local scheduler ends. `shutdown` ends the cluster."""
        found = super().close(timeout)
        if not self.asynchronous:
            self._loop_runner.stop()
        return found

    def shutdown(self) -> Any:
        """End the cluster's application, and disconnect. Close clients before."""
        if self.status == Status.closed and not self.asynchronous:
            if self.app is not None and self._result is None:
                _finish(self.app)
            return None
        found = self._do(self._shutdown)
        if not self.asynchronous:
            self._loop_runner.stop()
        return found

    stop = shutdown

    async def _shutdown(self) -> None:
        await self._disconnect()
        if self._result is None:
            await self._end_application()

    async def _end_application(self) -> None:
        if self.app is not None:
            await in_thread(_finish, self.app)

    def __exit__(self, *_exc: object) -> None:
        if self._owner:
            self.shutdown()
        else:
            self.close()

    async def __aexit__(self, *_exc: object) -> None:
        await (self._shutdown() if self._owner else self._close())


def _finish(app: Application) -> None:
    """End the application in an orderly way, else by force. No effect after its end."""
    try:
        if app.report().ended:
            return
        app.shutdown("SUCCEEDED", "the Dask cluster was shut down")
        app.wait(timeout=30, poll=0.2, check=False)
    except KnitError:
        app.kill("the Dask cluster was shut down", grace=0)


__all__ = ["DaskYARNCluster"]
