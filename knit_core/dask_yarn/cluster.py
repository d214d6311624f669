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

_CENSUS_EVERY = 5000  # ms


class DaskYARNCluster(Sizing, Cluster):  # type: ignore[misc]
    """A Dask scheduler and workers in the containers of one YARN application.

        with DaskYARNCluster(env=env, n_workers=10, memory="4 GiB", vcores=2) as cluster, Client(cluster) as client:
            client.submit(work).result()

    A with-block ends what it launched. `close` lets go of it only: the cluster goes on (until it was idle for
    `idle_timeout`) and `from_application(cluster.app.id)` finds it again; `shutdown` ends it. Without `n_workers` and
    `groups` nothing is launched before it is needed: by `start`, `scale`, `adapt`, a with-block or a Client.

    Args:
        env: environment of the containers; it needs dask and distributed in the versions that are installed here.
        n_workers: containers with workers.
        groups: instead of one kind of workers several: WorkerGroup by name; `scale` and `adapt` mean the first by default.
        scheduler: "cluster": in a container of its own; "local": in this process, with which the cluster ends.
        security: True: TLS with certificates made for this cluster; False: none; or a `distributed.Security`.
        start_timeout: seconds (or "5 min") until the scheduler must answer.
        knit: the client to launch with; by default `Knit()`.
        name, queue, tags, priority, acls, lifetime, attempts: of the application.
        checks: look at queue and sizes before anything is uploaded.
        asynchronous, loop, quiet: as in `distributed.deploy.Cluster`.
        options: fields of WorkerGroup (memory, vcores, processes, preload …) and Layout (idle_timeout, scheduler_memory …).

    Raises:
        SpecError: an option that there is not, or that contradicts another.
        PreflightError, QueueRefused, …: as `Knit.submit`.
        WaitTimeout: no scheduler within `start_timeout`, and why; the application has been ended.
        ApplicationFailed: it failed before the scheduler was there.
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
            raise ValueError(f"scheduler is 'cluster' or 'local', not {scheduler!r}")
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
        #: The application; None before it was launched.
        self.app: Application | None = _app
        Sizing.__init__(self)
        Cluster.__init__(self, asynchronous=asynchronous, loop=loop, quiet=quiet)
        self.periodic_callbacks["knit-census"] = PeriodicCallback(self._look, _CENSUS_EVERY)
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
            NotFound: the application is no Dask cluster.
            ApplicationEnded: it has ended.
            StagingError: its TLS keys cannot be read.
        """
        client = knit or Knit()
        cluster = cls(knit=client, _app=client.attach(app_id), **options)
        cluster._own_knit = knit is None
        return cluster

    @classmethod
    def from_name(cls, name: str, *, knit: Knit | None = None, **options: Any) -> DaskYARNCluster:
        """The same for the newest running cluster with this name."""
        client = knit or Knit()
        return cls.from_application(launching.find(client, name).id, knit=client, **options)

    # -- starting ----------------------------------------------------------

    @property
    def knit(self) -> Knit:
        """The client."""
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
            await self._let_go()
            raise

    async def _bring_up(self) -> Scheduler:
        """The scheduler: of the application attached to, or of one that is launched now."""
        if not self._owner:
            assert self.app is not None
            await in_thread(self._must_run, self.app)
            found = await in_thread(launching.wait_for_scheduler, self.app, self._timeout)
            if self._given_security is None:
                self._security = await in_thread(read_back, self.knit.hdfs, self.knit.config.staging, found.tls)
            launching.warn_after(found)
            return found
        self.app = await in_thread(launching.launch, self.knit, self._layout, self.security, self._fields)
        self._log(f"application {self.app.id}")
        if not self._layout.local:
            found = await in_thread(launching.wait_for_scheduler, self.app, self._timeout)
            launching.warn_after(found)
            return found
        host = launching.address_towards(self.knit.resourcemanager.address)
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

    def _must_run(self, app: Application) -> None:
        """An application that has ended, or is no Dask cluster, is said to be so at once."""
        report = app.report()
        if report.ended:
            self._result = app.final_result(report)
            self._raise_ended()
        if TAG not in report.tags:
            raise NotFound(f"{app.id} ({report.name}) is no Dask cluster of Knit's: it has not the tag {TAG!r}")

    async def _connect(self, scheduler: Scheduler) -> None:
        assert self.app is not None
        self._scheduler = scheduler
        self.name = self.app.id
        self.scheduler_comm = rpc(scheduler.address, connection_args=self.security.get_connection_args("client"))
        try:
            await Cluster._start(self)
        except OSError as error:
            raise WaitTimeout(
                f"The Dask scheduler of {self.app.id} runs, but {scheduler.address} cannot be reached from here ({error}). "
                "Open its port (scheduler_ports='8786:8790'), or run the client there: knit dask run"
            ) from error
        self._log(f"scheduler {scheduler.address}")
        self._dashboard = await in_thread(launching.dashboard_for, scheduler, self.app)
        if self._follower is None:
            later = self.loop.add_callback
            self._follower = Follower(
                self.app,
                scheduler.revision,
                functools.partial(later, self._moved),
                functools.partial(later, self._over),
            )

    async def _moved(self, scheduler: Scheduler) -> None:
        """The scheduler was started again: what it knew is lost; this handle goes on with the new one."""
        if self._local is not None or self.status != Status.running:
            return
        self._log(f"the scheduler was started again, what it held is lost; now at {scheduler.address}")
        adaptive = self._adaptive
        await Cluster._close(self)
        self.status = Status.starting
        try:
            await self._connect(scheduler)
        except KnitError as error:
            self._log(f"this handle lets go of the cluster: {error}")
            await self._let_go()
            return
        if adaptive is not None:
            self.adapt(type(adaptive), group=getattr(adaptive, "group", None))

    async def _over(self, result: Result) -> None:
        """The application has ended."""
        self._result = result
        self._log(f"{result.id} has ended: {result.outcome} {result.diagnostics}".rstrip())
        await self._let_go()

    def _raise_ended(self) -> None:
        if self._result is None:
            raise ValueError(
                "This handle of a Dask cluster is closed; DaskYARNCluster.from_application(id) makes another"
            )
        self._result.raise_for_outcome()
        raise ApplicationEnded(f"{self._result.id} has ended: {self._result.diagnostics}", self._result)

    def __await__(self) -> Any:
        async def started() -> DaskYARNCluster:
            await self._start()
            return self

        return started().__await__()

    # -- looking -----------------------------------------------------------

    @property
    def dashboard_link(self) -> str:
        """The dashboard for a browser where this process is; empty when there is none.

        On its node, when that can be reached from here; else `proxied_dashboard_link`. What the setting
        `distributed.dashboard.link` says (for a Jupyter server's proxy) comes first.
        """
        return self._dashboard

    @property
    def proxied_dashboard_link(self) -> str:
        """The scheduler's page through the ResourceManager's proxy, for those who reach no nodes; empty when there is none.

        The proxy passes no websockets on: that page says which pages work there, and how to get to the moving plots.
        """
        return self.app.pages().get("dashboard", "") if self.app is not None else ""

    # -- the end -----------------------------------------------------------

    async def _let_go(self) -> None:
        if self._follower is not None:
            self._follower.stop()
        if self.status != Status.closed:
            await Cluster._close(self)
        if self._local is not None:
            await self._local.close()
        if self._own_knit and self._knit is not None and self.app is None:
            self._knit.close()

    async def _close(self) -> None:
        await self._let_go()
        if self._local is not None and self._result is None:
            await self._end_application()  # its scheduler was here

    def close(self, timeout: float | None = None) -> Any:
        """Let go of the cluster, which goes on (one whose scheduler is here ends). `shutdown` ends it."""
        found = super().close(timeout)
        if not self.asynchronous:
            self._loop_runner.stop()
        return found

    def shutdown(self) -> Any:
        """End the cluster's application, and let go of it. Close clients before."""
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
        await self._let_go()
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
    """End it in good order, or by force; nothing when it has ended."""
    try:
        if app.report().ended:
            return
        app.shutdown("SUCCEEDED", "the Dask cluster was shut down")
        app.wait(timeout=30, poll=0.2, check=False)
    except KnitError:
        app.kill("the Dask cluster was shut down", grace=0)


__all__ = ["DaskYARNCluster"]
