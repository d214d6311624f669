"""Knit: the client. Wiring only; every part can be had by itself.

One file above 400 lines, because one class is what its users have in hands; most of the lines are its documentation.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from knit_core.application import Application
from knit_core.config import Config, load_config
from knit_core.config.identity import same_user
from knit_core.config.proxies import without_user
from knit_core.errors import ApplicationEnded, ConfigError, KnitError, SpecError
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.http import (
    HttpService,
)
from knit_core.hadoop.resource_manager import ResourceManager
from knit_core.hadoop.user_key import UserKey
from knit_core.hadoop.webhdfs import WebHdfs
from knit_core.hdfs_cache.staging import Progress, Staging
from knit_core.launch.launcher import Launch, launch, plan_only
from knit_core.launch.ledger import Ledger
from knit_core.launch.plan import APPLICATION_TYPE, LaunchPlan
from knit_core.launch.storage import LaunchStorage
from knit_core.model.clock import Clock
from knit_core.model.deprecation import warn_deprecated
from knit_core.model.report import ApplicationReport
from knit_core.model.representation import Rows, html_facts, one_line
from knit_core.model.states import ACTIVE, State
from knit_core.model.units import seconds
from knit_core.spec import ApplicationSpec, application_spec
from knit_core.spec.application import check_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from knit_core.hdfs_cache.environments import Pushed
    from knit_core.hdfs_cache.pruning import Pruned
    from knit_core.logs import LogLine
    from knit_core.model.environment import Environment
    from knit_core.model.result import Result
    from knit_core.spec.options import CallOptions, SubmitOptions


class Knit:
    """Launches, finds and ends applications on one YARN cluster.

        knit = Knit()                                   # found by itself; or Knit("http://rm.example.org:8088")
        app = knit.submit("python train.py", instances=4, memory="2 GiB", files=["train.py"])
        app.wait(timeout="1 h")

    Args:
        address: ResourceManager's web address; None: see `knit_core.config` for where it is looked for.
        user: who acts under simple authentication.
        options: settings by name (`knit_core.config.SETTINGS`); they beat the environment and files.

    Attributes:
        cluster: its connections.
        upload_progress: called with name, bytes sent, bytes in all while a launch uploads files.

    Raises:
        NoClusterFound: no ResourceManager was named anywhere; the message lists every place.
        ConfigError: a setting is unknown or contradictory. No network is used here.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        user: str | None = None,
        options: Mapping[str, Any] | None = None,
        config: Config | None = None,
    ) -> None:
        self.cluster = Cluster(config or load_config(address, options, user=user))
        self._storage = LaunchStorage(self.cluster)
        self.upload_progress: Progress | None = None

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
        self.cluster.close()

    # -- launching ---------------------------------------------------------

    def submit(
        self,
        spec: ApplicationSpec | Mapping[str, Any] | str | Sequence[str],
        *,
        key: str | None = None,
        progress: Callable[[str], None] | None = None,
        checks: bool = True,
        **short: Unpack[SubmitOptions],
    ) -> Application:
        """Launch an application.

        Args:
            spec: an ApplicationSpec, a mapping with its fields, or a command (a text, or a list of words).
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
        return self.attach(launch(self._launch(application_spec(spec, **short), key, progress, checks)))

    def plan(
        self, spec: ApplicationSpec | Mapping[str, Any] | str | Sequence[str], **short: Unpack[SubmitOptions]
    ) -> LaunchPlan:
        """What `submit` would do with the same arguments, checked as there; nothing is uploaded or submitted.

        Environments that the specification describes are built into this machine's cache.
        """
        if not isinstance(spec, (ApplicationSpec, Mapping)):
            check_options(short, (), "Knit.plan")
        return plan_only(self._launch(application_spec(spec, **short)))

    def _launch(
        self,
        spec: ApplicationSpec,
        key: str | None = None,
        progress: Callable[[str], None] | None = None,
        checks: bool = True,
        hook: Callable[[str], None] | None = None,
    ) -> Launch:
        """`hook` is called before each step: for tests."""
        return Launch(
            self.cluster,
            self._storage,
            spec,
            self.create_env,
            key,
            progress,
            checks,
            self.upload_progress,
            hook,
        )

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
        pip: Iterable[str] = (),
        file: str | os.PathLike[str] | None = None,
        prefix: str | os.PathLike[str] | None = None,
        venv: str | os.PathLike[str] | bool | None = None,
        archive: str | os.PathLike[str] | None = None,
        path: str | None = None,
        python: str = "",
        variables: Mapping[str, str] | None = None,
        platform: str | None = None,
        progress: Callable[[Any], None] | None = None,
        refresh: bool = False,
    ) -> Environment:
        """Build and pack an environment, unless this request was built before.

        Say what it has by packages, channels and pip together, or by one of file, prefix, venv, archive and path.

        Args:
            name: a label: letters, digits and `. _ + -`.
            packages: conda specs ("python=3.11", "numpy>=2").
            channels: conda channels, by name or URL; conda-forge when none is given.
            pip: requirements as pip takes them, installed on top.
            file: environment.yml, requirements.txt, pyproject.toml, uv.lock, or a lock.
            prefix: a conda environment installed here, by its folder or its name.
            venv: True: what is installed for the running Python; or the folder of a virtual environment.
            archive: a ready archive, local or `hdfs://…`.
            path: a folder that is there on every node.
            python: its version ("3.12"), where `packages` do not say it.
            variables: set in the environment.
            platform: like "linux-64"; default: Linux on this machine's kind of processor.
            progress: gets the builder's events.
            refresh: solve again, though the same was asked for before.

        Raises:
            SolveError: no solution, in the solver's words.
            EnvironmentFailed: anything else that stopped the build; see `EnvironmentBuilder.create`.
        """
        from knit_core.environments import EnvironmentBuilder

        return EnvironmentBuilder().create(
            name,
            list(packages),
            list(channels),
            pip=list(pip),
            file=file,
            prefix=prefix,
            venv=venv,
            archive=archive,
            path=path,
            python=python,
            variables=variables,
            platform=platform,
            progress=progress,
            refresh=refresh,
        )

    def push_env(self, environment: Environment, progress: Progress | None = None) -> Pushed:
        """Bring a local environment to HDFS ahead of time; nothing is sent when it is there.

            url = knit.push_env(knit.create_env("science", ["python=3.11", "numpy"])).url

        Args:
            environment: with a local archive.
            progress: called with name, bytes sent, bytes in all.

        Raises:
            BadArchive: it is not a local archive.
            StagingError: the archive is not there any more, or HDFS does not take it.
        """
        from knit_core.hdfs_cache.environments import push

        return push(self.cluster, self.staging, environment, progress)

    def prune_envs(
        self, *, older_than: float | None = None, keep_size: int | None = None, dry_run: bool = False
    ) -> Pruned:
        """Delete from the user's caches on HDFS what was not used for long; never what a running application uses.

        Args:
            older_than: seconds without use; 30 days when neither this nor a size is given.
            keep_size: bytes that may stay.
            dry_run: only say what would go.
        """
        from knit_core.hdfs_cache.environments import prune

        return prune(self.cluster, self.staging, older_than=older_than, keep_size=keep_size, dry_run=dry_run)

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
        **options: Unpack[CallOptions],
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
            self.submit,
            FunctionJob.of_map(function, items, workers, chunk),
            workers=workers,
            return_exceptions=return_exceptions,
            timeout=None if timeout is None else seconds(timeout),
            progress=progress,
            options=options,
            clock=self.clock,
        )

    def call(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        instances: int | None = None,
        timeout: float | str | None = None,
        **options: Unpack[CallOptions],
    ) -> Any:
        """`function(*arguments)` in a container; its value. With `instances`, in each of so many; the list by rank.

            shape = knit.call(load, "/data/2026", env=env, memory="4 GiB")

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

        check_options(options, ("instances", "timeout"), "Knit.call")
        count = 1 if instances is None else instances
        values = run_job(
            self.submit,
            FunctionJob.of_call(function, arguments, count),
            workers=count,
            return_exceptions=False,
            timeout=None if timeout is None else seconds(timeout),
            progress=None,
            options=options,
            clock=self.clock,
        )
        return values[0] if instances is None else values

    def run(
        self,
        command: ApplicationSpec | Mapping[str, Any] | str | Sequence[str] | Callable[..., Any],
        *arguments: Any,
        output: Callable[[LogLine], object] = print,
        key: str | None = None,
        keep: bool = False,
        progress: Callable[[str], None] | None = None,
        checks: bool = True,
        **options: Unpack[SubmitOptions],
    ) -> Result:
        """Launch, show the containers' output while it runs, and wait for the end, as the command `knit run` does.

            knit.run("python train.py", instances=4, files=["train.py"])

        Whatever ends this call (Ctrl-C, an exception of `output`) ends the application.

        Args:
            command: as `spec` of `submit`.
            arguments: none. A function with its arguments is for `call`; for one release it is forwarded there.
            output: gets each line.
            key: launch key, as of `submit`.
            keep: whatever ends this call leaves the application running.
            progress: gets a line per step of the launch.
            checks: look at queue, sizes and files first.
            options: of `submit`.

        Raises:
            ApplicationFailed, ApplicationKilled, ApplicationLost: it ended otherwise than well.
            Exception: as `submit` and `Application.logs`.
        """
        if callable(command):
            warn_deprecated("Knit.run(function, …)", "Knit.call(function, …)")
            return self.call(command, *arguments, **options)  # type: ignore[no-any-return]
        if arguments:
            raise TypeError(f"Knit.run takes one command (a text, or a list of words), not {1 + len(arguments)}")
        check_options(options, ("output", "key", "keep", "progress", "checks"), "Knit.run")
        app = self.submit(command, key=key, progress=progress, checks=checks, **options)
        try:
            for line in app.logs(follow=True):
                output(line)
            return app.wait()
        except ApplicationEnded:
            raise
        except BaseException as error:
            if not keep:
                with contextlib.suppress(KnitError):  # what ended it says more than that it could not be ended
                    app.kill(f"its caller ended: {type(error).__name__}")
            raise

    # -- finding -----------------------------------------------------------

    def attach(self, app_id: str) -> Application:
        """A handle on an application; nothing is asked yet.

        Raises:
            BadApplicationId: the text is not an application id.
        """
        return Application(self.cluster, app_id)

    def list(
        self,
        *,
        states: Iterable[State | str] | None = None,
        tags: Iterable[str] | None = None,
        name: str | None = None,
        user: str | None = None,
        queue: str | None = None,
        types: Iterable[str] | None = (APPLICATION_TYPE,),
    ) -> Sequence[ApplicationReport]:
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

    @property
    def config(self) -> Config:
        """The settings, each with its source."""
        return self.cluster.config

    @property
    def clock(self) -> Clock:
        """What its waits read and sleep by. For tests; set it before the first call."""
        return self.cluster.clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        self.cluster.clock = clock

    @property
    def retry_timeout(self) -> float | None:
        """Seconds after which a service that does not answer is given up, without another try; None: faults are waited
        out within generous budgets. For programs that people watch; set it before the first call."""
        return self.cluster.retry_timeout

    @retry_timeout.setter
    def retry_timeout(self, seconds: float | None) -> None:
        self.cluster.retry_timeout = seconds

    @property
    def resourcemanager(self) -> ResourceManager:
        """The ResourceManager's API."""
        return self.cluster.resourcemanager

    @property
    def hdfs(self) -> WebHdfs:
        """HDFS."""
        return self.cluster.hdfs

    @property
    def user_key(self) -> UserKey:
        """The user's key."""
        return self.cluster.user_key

    @property
    def nodes(self) -> HttpService:
        """Requests to NodeManagers (their addresses differ by call)."""
        return self.cluster.nodes

    @property
    def staging(self) -> Staging:
        """The staging folder."""
        return self._storage.staging

    @property
    def ledger(self) -> Ledger:
        """The launch records."""
        return self._storage.ledger
