"""Knit: the client. Wiring only; every part can be had by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from knit_core.application import Application
from knit_core.config import Config, HadoopConf, load_config
from knit_core.config.identity import same_user
from knit_core.config.proxies import without_user
from knit_core.errors import ConfigError, RequestRefused, SpecError, UnexpectedReply
from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.hadoop.http import (
    AuthStrategy,
    BasicAuth,
    DirectTransport,
    Endpoint,
    HttpService,
    RetryPolicy,
    SimpleAuth,
)
from knit_core.hadoop.resource_manager import ResourceManager
from knit_core.hadoop.user_key import UserKey
from knit_core.hadoop.webhdfs import WebHdfs
from knit_core.hdfs_cache.shared_cache import SharedCache
from knit_core.hdfs_cache.staging import Progress, Staging
from knit_core.launch.build_environments import with_environments, without_described
from knit_core.launch.launcher import Launcher
from knit_core.launch.ledger import Ledger
from knit_core.launch.plan import APPLICATION_TYPE, LaunchPlan
from knit_core.model.clock import Clock
from knit_core.model.report import Report
from knit_core.model.representation import Rows, html_facts, one_line
from knit_core.model.states import ACTIVE, State
from knit_core.model.units import seconds
from knit_core.monitoring.wait import PATIENCE
from knit_core.spec import ApplicationSpec, application_spec
from knit_core.spec.application import check_options

if TYPE_CHECKING:
    from knit_core.environments import Environment

_NAMESERVICE = (
    "{name} has no port in fs.defaultFS, so it probably is a nameservice (several NameNodes under one name), which only "
    "Hadoop's hdfs-site.xml explains: put that beside core-site.xml (HADOOP_CONF_DIR), or set KNIT_NAMENODE to the web "
    "addresses of its NameNodes (http://nn1.example.org:9870,http://nn2.example.org:9870)."
)


class Knit:
    """Launches, finds and ends applications on one YARN cluster.

        knit = Knit()                                   # found by itself; or Knit("http://rm.example.org:8088")
        app = knit.submit("python train.py", instances=4, memory="2 GiB", files=["train.py"])
        app.wait(timeout="1 h")

    Args:
        address: ResourceManager's web address; None: see `knit_core.config` for where it is looked for.
        user: who acts under simple authentication.
        options: settings by name (`knit_core.config.SETTINGS`); they beat the environment and files.

    Raises:
        NoClusterFound: no ResourceManager was named anywhere; the message lists every place.
        ConfigError: a setting is unknown or contradictory. No network is used here.
    """

    upload_progress: Progress | None = None
    #: Seconds after which a service that does not answer is given up, without another try; None: faults are waited out
    #: within generous budgets. For programs that people watch; set it before the first call.
    patience: float | None = None
    #: What its waits read and sleep by. For tests; set it before the first call.
    clock: Clock = time

    def __init__(
        self,
        address: str | None = None,
        *,
        user: str | None = None,
        options: Mapping[str, Any] | None = None,
        config: Config | None = None,
    ) -> None:
        self.config = config or load_config(address, options, user=user)
        self.config.fetch, self.config.fetch_home = self._fetch, self._home
        self._services: list[HttpService] = []
        self._direct = DirectTransport(self.config.proxies)

    def __repr__(self) -> str:
        return one_line("Knit", [("", self.config.settings["resourcemanager"].value), ("user", self.config.user)])

    def _repr_html_(self) -> str:
        return html_facts(
            "Knit", {name: f"{row['value']} ({row['source']})" for name, row in self.config.describe().items()}
        )

    def __enter__(self) -> Knit:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections; applications go on."""
        for service in self._services:
            service.close()
        self._direct.close()

    # -- launching ---------------------------------------------------------

    def submit(
        self,
        spec: ApplicationSpec | Mapping[str, Any] | str,
        *,
        key: str | None = None,
        progress: Callable[[str], None] | None = None,
        checks: bool = True,
        **short: Any,
    ) -> Application:
        """Launch an application.

        Args:
            spec: an ApplicationSpec, a mapping with its fields, or a command.
            key: launch key: calls with the same key give one application, whatever dies or races, until it ended
                without success or was superseded (`supersede`).
            progress: gets a line per step.
            checks: look at queue, sizes and files first (always advisable).
            short: with a command, fields of Service and ApplicationSpec: `instances`, `memory` ("2 GiB" or MiB), `vcores`,
                `resources`, `env` (an Environment, an archive's path, or a mapping: `{"packages": […]}`), `files`,
                `variables`, `name`, `queue`, `priority`, `tags`, `attempts`, `lifetime`.

        Raises:
            SpecError, PreflightError, QueueRefused: before anything was uploaded or submitted.
            EnvironmentFailed: an environment that it describes cannot be built.
            StagingError: a file could not be brought to HDFS.
            ConnectionFailed, ServiceUnavailable: transient; with a key it is safe to call again.
        """
        if not isinstance(spec, (ApplicationSpec, Mapping)):
            check_options(short, ("key", "progress", "checks"), "Knit.submit")
        whole = self._with_environments(application_spec(spec, **short), progress, checks)
        return self.attach(Launcher(self, whole, key, progress, checks).run())

    def plan(self, spec: ApplicationSpec | Mapping[str, Any] | str, **short: Any) -> LaunchPlan:
        """What `submit` would do with the same arguments, checked as there; nothing is uploaded or submitted.

        Environments that the specification describes are built into this machine's cache.
        """
        if not isinstance(spec, (ApplicationSpec, Mapping)):
            check_options(short, (), "Knit.plan")
        return Launcher(self, self._with_environments(application_spec(spec, **short))).plan()

    def _with_environments(
        self, spec: ApplicationSpec, progress: Callable[[str], None] | None = None, checks: bool = True
    ) -> ApplicationSpec:
        """Builds what the specification describes, after a look at the rest: a build may take minutes."""
        rest = without_described(spec)
        if rest is None:
            return spec
        if checks:
            Launcher(self, rest).plan()
        return with_environments(spec, self.create_env, progress)

    def start(
        self,
        cmd: str,
        num_containers: int = 1,
        virtual_cores: int = 1,
        memory: int | str = 128,
        files: Sequence[str] | None = None,
        envvars: Mapping[str, str] | None = None,
        app_name: str = "knit",
        queue: str | None = None,
        checks: bool = True,
        env: Environment | str | None = None,
    ) -> str:
        """Launch as the seed's `Knit.start` does; the application id.

        Args:
            cmd: command for all containers.
            num_containers, virtual_cores: how many, and cores for each.
            memory: MiB for each.
            files: paths; archives are unpacked, `hdfs://` paths used in place.
            envvars: environment variables.
            app_name, queue: as YARN shows them.
            checks: refuse what the cluster cannot give before anything is submitted.
            env: an environment.
        """
        if num_containers < 1:
            raise SpecError([f"num_containers: at least 1, not {num_containers}"])
        return self.submit(
            cmd,
            instances=num_containers,
            vcores=virtual_cores,
            memory=memory,
            files=files,
            variables=envvars,
            name=app_name,
            queue=queue,
            env=env,
            checks=checks,
        ).id

    def create_env(
        self,
        name: str,
        packages: Iterable[str] = (),
        channels: Iterable[str] = (),
        *,
        progress: Callable[[Any], None] | None = None,
        **options: Any,
    ) -> Environment:
        """Build and pack an environment, unless this request was built before.

        Args:
            name: for people.
            packages: conda specs ("python=3.11", "numpy>=2").
            channels: conda channels, by name or URL; conda-forge when none is given.
            progress: gets the builder's events.
            options: of `EnvironmentBuilder.create`: pip=["six"], file="environment.yml" (or requirements, a lock, …),
                prefix=, venv=True, archive=, path=, python=, variables=, platform=, refresh=.

        Raises:
            SolveError: no solution, in the solver's words.
        """
        from knit_core.environments import EnvironmentBuilder

        return EnvironmentBuilder().create(name, list(packages), list(channels), progress=progress, **options)

    # -- functions ---------------------------------------------------------

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        workers: int = 4,
        chunk: int | None = None,
        return_exceptions: bool = False,
        timeout: float | str | None = None,
        progress: Callable[[int, int], None] | None = None,
        **options: Any,
    ) -> Sequence[Any]:
        """`function(item)` for each item, in containers; the values, in the order of the items.

            squares = knit.map(lambda x: x * x, range(1000), workers=8, env=env)

        The function and the items are pickled (cloudpickle: lambdas and functions of scripts work); values come back
        through HDFS and may be large. A worker that dies is replaced, and its share is done again.

        Args:
            function: takes one item.
            items: what to call it with.
            workers: containers that share the items.
            chunk: items taken at once; by default a quarter of a worker's share.
            return_exceptions: exceptions stand among the values; otherwise the first one ends the application and is
                raised here, the traceback from the container as its cause.
            timeout: seconds, or a text such as "1 h", for all of it.
            progress: called with chunks done and chunks in all.
            options: of `submit`: `env`, `memory`, `vcores`, `files`, `variables`, `queue`, `name` …

        Raises:
            FunctionRefused: before anything is launched: it cannot be called so or pickled, or the environment has another
                Python.
            SpecError: before anything is launched: an option that there is not.
            ApplicationFailed: a worker could not do it although it was started again.
            WaitTimeout: the time is over; the application was ended.
        """
        from knit_core.functions import FunctionJob, run_job

        own = ("workers", "chunk", "return_exceptions", "timeout", "progress")
        check_options(options, own, "Knit.map")
        return run_job(
            self,
            FunctionJob.of_map(function, items, workers, chunk),
            workers=workers,
            return_exceptions=return_exceptions,
            timeout=None if timeout is None else seconds(timeout),
            progress=progress,
            options=options,
        )

    def run(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        instances: int | None = None,
        timeout: float | str | None = None,
        **options: Any,
    ) -> Any:
        """`function(*arguments)` in a container; its value. With `instances`, in each of so many; the list by rank.

            shape = knit.run(load, "/data/2026", env=env, memory="4 GiB")

        Args:
            function: what to call (`knit_container.instance` tells it its rank); keyword arguments by functools.partial.
            arguments: its arguments.
            instances: containers that all call it.
            timeout: seconds, or a text such as "1 h".
            options: of `submit`.

        Raises:
            Exception: what the function raised, the traceback from the container as its cause.
            FunctionRefused, ApplicationFailed, WaitTimeout: see `map`.
        """
        from knit_core.functions import FunctionJob, run_job

        check_options(options, ("instances", "timeout"), "Knit.run")
        count = 1 if instances is None else instances
        values = run_job(
            self,
            FunctionJob.of_run(function, arguments, count),
            workers=count,
            return_exceptions=False,
            timeout=None if timeout is None else seconds(timeout),
            progress=None,
            options=options,
        )
        return values[0] if instances is None else values

    # -- finding -----------------------------------------------------------

    def attach(self, app_id: str) -> Application:
        """A handle on an application; nothing is asked yet.

        Raises:
            BadApplicationId: the text is not an application id.
        """
        return Application(self, app_id)

    def list(
        self,
        *,
        states: Iterable[State | str] | None = None,
        tags: Iterable[str] | None = None,
        name: str | None = None,
        user: str | None = None,
        queue: str | None = None,
        types: Iterable[str] | None = (APPLICATION_TYPE,),
    ) -> Sequence[Report]:
        """Applications, oldest first.

        Args:
            states: only in these (default: those that run or wait).
            tags, name, user, queue: only with these.
            types: only of these types; Knit's own by default, None: all.
        """
        chosen = ACTIVE if states is None else [State(str(state).upper()) for state in states]
        return Rows(self.resourcemanager.apps(states=chosen, tags=tags, user=user, queue=queue, types=types, name=name))

    def launched(self, key: str) -> Application | None:
        """What the newest claim of a launch key points to; None when there is none, or it was superseded."""
        claim = self.ledger.newest(key)
        return None if claim is None or claim.superseded else self.attach(claim.app_id)

    def supersede(self, key: str) -> None:
        """The newest launch with this key no longer counts: the next `submit` with it launches anew (and ends the old one)."""
        claim = self.ledger.newest(key)
        if claim is not None and not claim.superseded:
            self.ledger.supersede(key, claim)

    def check(self) -> Sequence[str]:
        """Test the connection: ResourceManager, configuration, HDFS. One line each.

        Raises:
            KnitError: the first step that fails.
        """
        info = self.resourcemanager.info()
        lines = [
            f"ResourceManager {self.resourcemanager.address} {info.get('state', '?')}, "
            f"Hadoop {info.get('hadoopVersion', '?')} ({self.config.settings['resourcemanager'].source})",
            f"user {self.config.user} ({self.config.settings['user'].source})",
        ]
        proxies = self.config.proxies
        for proxy in dict.fromkeys(without_user(each) for each in (proxies.http, proxies.https) if each):
            lines.append(f"proxy {proxy}; reached without it: {', '.join(('this machine itself', *proxies.without))}")
        home = self.hdfs.home()
        taken_for = home.rpartition("/")[2]
        if not same_user(self.config.user, taken_for):
            raise ConfigError(
                f"HDFS at {self.hdfs.address} takes us for {taken_for}, not for {self.config.user} "
                f"({self.config.settings['user'].source}), and so will everything else there: " + self._remedy()
            )
        lines.append(f"HDFS {self.hdfs.address}, home {home} ({self.config.namenodes.source})")
        return lines

    def _remedy(self) -> str:
        if self.config.get("auth") == "basic":
            return (
                "a user and a password (auth: basic) are for a gateway such as Knox, so give the gateway's addresses for "
                "resourcemanager and namenode, or take auth and password away where the cluster believes the user's name"
            )
        return "the cluster or a gateway before it wants to be shown who asks (auth: basic), or set user to that name"

    # -- parts -------------------------------------------------------------

    @cached_property
    def resourcemanager(self) -> ResourceManager:
        """The ResourceManager's API."""
        return ResourceManager(self._service("ResourceManager", self.config.resourcemanagers))

    @cached_property
    def hdfs(self) -> WebHdfs:
        """HDFS."""
        service, name = self._service("NameNode", self.config.namenodes.value.split(",")), self.config.nameservice
        if name:
            service.endpoint = replace(service.endpoint, unknown=_NAMESERVICE.format(name=name))
        return WebHdfs(service)

    @cached_property
    def staging(self) -> Staging:
        """The staging folder."""
        replication = self.config.get("replication")
        root = (self.config.get("shared_cache") or "").rstrip("/")
        trusted = tuple(name for name in (self.config.get("shared_trust") or "").replace(",", " ").split())
        shared = SharedCache(self.hdfs, root, self.config.user, trusted) if root else None
        return Staging(self.hdfs, self.config.staging, int(replication) if replication else None, shared)

    @cached_property
    def ledger(self) -> Ledger:
        """The launch records."""
        return Ledger(self.hdfs, self.config.staging)

    @cached_property
    def user_key(self) -> UserKey:
        """The user's key."""
        return UserKey(self.hdfs, self.config.staging)

    @cached_property
    def nodes(self) -> HttpService:
        """Requests to NodeManagers (their addresses differ by call)."""
        return self._service("NodeManager", [self.resourcemanager.address])

    def master_of(self, application: Application) -> ApplicationMasterClient:
        """The API of an application's ApplicationMaster."""
        service = self._master_service
        return ApplicationMasterClient(
            application.id,
            lambda: self.user_key.application_secret(application.id),
            application.report,
            self._direct,
            lambda: service.session,
            self._auth,
            PATIENCE if self.patience is None else self.patience,
            self.clock,
        )

    @cached_property
    def _master_service(self) -> HttpService:
        return self._service("ApplicationMaster", [self.resourcemanager.address])

    @cached_property
    def _auth(self) -> AuthStrategy:
        if self.config.get("auth") == "basic":
            return BasicAuth(self.config.user, self.config.get("password") or "")
        return SimpleAuth(self.config.user)

    def _service(self, name: str, addresses: Iterable[str]) -> HttpService:
        ca = self.config.get("ca")
        verify: bool | str = True if ca is None else (False if ca.lower() == "false" else ca)
        endpoint, retry = Endpoint(name, tuple(addresses), self._auth, verify), RetryPolicy(clock=self.clock)
        endpoint = replace(endpoint, proxies=self.config.proxies)
        if self.patience is not None:
            endpoint = replace(endpoint, timeout=(min(endpoint.timeout[0], self.patience), self.patience))
            retry = replace(retry, budget=0)
        service = HttpService(endpoint, retry)
        self._services.append(service)
        return service

    def _fetch(self) -> HadoopConf | None:
        return self.resourcemanager.conf()

    def _home(self) -> str:
        try:
            return self.hdfs.home()
        except (RequestRefused, UnexpectedReply):  # a gateway that does not know the question
            return ""
