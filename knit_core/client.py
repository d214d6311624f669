"""Knit: the client. Its methods pass their arguments to the modules that do the work.

More than 400 lines, because they are one class, `Knit`: editors and `help(Knit)` show all signatures and docstrings, and
inheritance would hide half of them. Most lines are documentation.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from knit_core.application import Application
from knit_core.config import Config, load_config
from knit_core.errors import ApplicationEnded, KnitError, SpecError
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.connection_check import check_connection
from knit_core.hadoop.http import HttpService
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
    from knit_core.model.connection_layers import LayerCheck
    from knit_core.model.environment import Environment
    from knit_core.model.result import Result
    from knit_core.spec.options import CallOptions, SubmitOptions


class Knit:
    """Launches, finds and ends applications on one YARN cluster.

        knit = Knit()                                   # from the settings; or Knit("http://rm.example.org:8088")
        app = knit.submit("python train.py", instances=4, memory="2 GiB", files=["train.py"])
        app.wait(timeout="1 h")

    Args:
        address: ResourceManager's web address; None: `knit_core.config` lists the places where it is looked for.
        user: user name under simple authentication.
        options: settings by name (`knit_core.config.SETTINGS`); they override environment and files.
        config: a complete configuration; the other arguments are not used then.

    Attributes:
        cluster: the connections.
        upload_progress: called with name, bytes sent, total bytes while a launch uploads files.

    Raises:
        NoClusterFound: no place names a ResourceManager; the message lists the places.
        ConfigError: a setting is unknown, or settings contradict each other. No request is sent here.
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
        return one_line("Knit", [("", self.config.settings["resourcemanager"].value), ("user", self.config.known_user)])

    def _repr_html_(self) -> str:
        return html_facts(
            "Knit", {name: f"{row['value']} ({row['source']})" for name, row in self.config.describe().items()}
        )

    def __enter__(self) -> Knit:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; applications continue."""
        self.cluster.close()

    # -- launching ---------------------------------------------------------

    def submit(
        self,
        spec: ApplicationSpec | Mapping[str, Any] | str | Sequence[str] | os.PathLike[str],
        *,
        key: str | None = None,
        progress: Callable[[str], None] | None = None,
        checks: bool = True,
        **short: Unpack[SubmitOptions],
    ) -> Application:
        """Launch an application.

        Args:
            spec: an ApplicationSpec, a mapping with its fields, a command (a text, or a list of words), or a path object:
                a file with a specification, or with a description for another launcher, which is converted
                (docs/neighbours.md; a ConversionWarning names what is lost).
            key: launch key: all calls with the same key return one application, also after crashes and from several
                callers, until it ended without success or was superseded (`supersede`).
            progress: called with a line for each step.
            checks: check queue, sizes and files first (recommended).
            short: with a command, fields of Service and ApplicationSpec: `instances`, `memory` ("2 GiB" or MiB), `vcores`,
                `resources`, `env` (an Environment, an archive's path, or a mapping: `{"packages": […]}`), `files`,
                `variables`, `name`, `queue`, `priority`, `tags`, `attempts`, `lifetime`.

        Raises:
            SpecError, PreflightError, QueueRefused: before anything was uploaded or submitted.
            EnvironmentFailed: an environment of the specification cannot be built.
            StagingError: a file could not be uploaded to HDFS.
            ConnectionFailed, ServiceUnavailable: transient; with a key it is safe to call again.
        """
        if isinstance(spec, os.PathLike):
            from knit_core.convert import read_path

            spec = read_path(spec)
        if not isinstance(spec, (ApplicationSpec, Mapping)):
            check_options(short, ("key", "progress", "checks"), "Knit.submit")
        return self.attach(launch(self._launch(application_spec(spec, **short), key, progress, checks)))

    def plan(
        self,
        spec: ApplicationSpec | Mapping[str, Any] | str | Sequence[str] | os.PathLike[str],
        **short: Unpack[SubmitOptions],
    ) -> LaunchPlan:
        """The launch that `submit` would do with the same arguments, with the same checks. Nothing is uploaded or submitted.

        Environments of the specification are built into the local cache.
        """
        if isinstance(spec, os.PathLike):
            from knit_core.convert import read_path

            spec = read_path(spec)
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
        """Launch with the arguments of knit 0.2.4's `Knit.start`; the application id.

        Args:
            cmd: command for all containers.
            num_containers, virtual_cores: number of containers, and cores of each.
            memory: MiB of each.
            files: paths; archives are unpacked, `hdfs://` paths are used in place.
            envvars: environment variables.
            app_name, queue: name and queue of the application.
            checks: refuse what the cluster cannot run before anything is submitted.
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
        """Build and pack an environment, unless an equal request was built before.

        Describe it by packages, channels and pip together, or by one of file, prefix, venv, archive and path.

        Args:
            name: a label: letters, digits and `. _ + -`.
            packages: conda specs ("python=3.11", "numpy>=2").
            channels: conda channels, by name or URL; conda-forge when none is given.
            pip: requirements as pip takes them, installed on top.
            file: environment.yml, requirements.txt, pyproject.toml, uv.lock, or a lock.
            prefix: a conda environment on this machine, by its folder or its name.
            venv: True: the packages of the running Python; or the folder of a virtual environment.
            archive: an existing archive, local or `hdfs://…`.
            path: a folder that exists on every node.
            python: its version ("3.12"), when `packages` do not contain it.
            variables: set in the environment.
            platform: such as "linux-64"; default: Linux on this machine's processor architecture.
            progress: called with the builder's events.
            refresh: solve again, also when an equal request was built before.

        Raises:
            SolveError: no solution; the message is the solver's.
            EnvironmentFailed: the build failed; see `EnvironmentBuilder.create`.
        """
        from knit_core.environments import EnvironmentBuilder

        return EnvironmentBuilder().create(
            name,
            _listed(packages),
            _listed(channels),
            pip=_listed(pip),
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
        """Upload a local environment to HDFS before a launch; nothing is sent when it exists there.

            url = knit.push_env(knit.create_env("science", ["python=3.11", "numpy"])).url

        Args:
            environment: with a local archive.
            progress: called with name, bytes sent, total bytes.

        Raises:
            BadArchive: it is not a local archive.
            StagingError: the archive does not exist any more, or HDFS refuses it.
        """
        from knit_core.hdfs_cache.environments import push

        return push(self.cluster, self.staging, environment, progress)

    def prune_envs(
        self, *, older_than: float | None = None, keep_size: int | None = None, dry_run: bool = False
    ) -> Pruned:
        """Delete unused entries of the user's caches on HDFS; never those that a running application uses.

        Args:
            older_than: seconds without use; 30 days when neither this nor a size is given.
            keep_size: maximum bytes to keep.
            dry_run: return what would be deleted, without deleting it.
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
        """Call `function(item)` for each item in containers; the values, in the order of the items.

            squares = knit.map(lambda x: x * x, range(1000), workers=8, env=env)

        Function and items are pickled (with cloudpickle: lambdas and functions of scripts work). Values are returned
        through HDFS and may be large. A worker that ends is replaced, and its chunk is computed again.

        Args:
            function: takes one item.
            items: its arguments.
            workers: containers that share the items.
            chunk: items that a worker takes at once; by default a quarter of its share.
            return_exceptions: return exceptions among the values; otherwise the first one ends the application and is
                raised here, with the traceback from the container as its cause.
            timeout: seconds, or a text such as "1 h", for the whole call.
            progress: called with done chunks and total chunks.
            options: of `submit`: `env`, `memory`, `vcores`, `files`, `variables`, `queue`, `name` …

        Raises:
            FunctionRefused: before the launch: the function does not take one argument, cannot be pickled, or the
                environment has another Python.
            SpecError: before the launch: an option does not exist.
            ApplicationFailed: a worker failed although it was restarted.
            WaitTimeout: the timeout has passed; the application was ended.
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
        """Call `function(*arguments)` in a container; its value. With `instances`, in that many containers; a list by rank.

            shape = knit.call(load, "/data/2026", env=env, memory="4 GiB")

        Args:
            function: the function (`knit_container.instance` is its rank); functools.partial adds keyword arguments.
            arguments: its arguments.
            instances: number of containers that call it.
            timeout: seconds, or a text such as "1 h".
            options: of `submit`.

        Raises:
            Exception: the exception of the function, with the traceback from the container as its cause.
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
        """Launch, pass on the containers' output, and wait for the end, as the command `knit run` does.

            knit.run("python train.py", instances=4, files=["train.py"])

        An exception in this call (Ctrl-C, an error of `output`) ends the application.

        Args:
            command: as `spec` of `submit`.
            arguments: none. Deprecated: a function and its arguments are passed to `call`.
            output: called with each line.
            key: launch key, as of `submit`.
            keep: an exception in this call does not end the application.
            progress: called with a line for each step of the launch.
            checks: check queue, sizes and files first.
            options: of `submit`.

        Raises:
            ApplicationFailed, ApplicationKilled, ApplicationLost: it ended without success.
            Exception: as of `submit` and `Application.logs`.
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
                with contextlib.suppress(KnitError):  # raise the first exception, not that of `kill`
                    app.kill(f"its caller ended: {type(error).__name__}")
            raise

    # -- finding -----------------------------------------------------------

    def attach(self, app_id: str) -> Application:
        """A handle on an application; no request is sent.

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
            states: only applications in these (default: those that have not ended).
            tags, name, user, queue: only applications with these.
            types: only applications of these types; by default Knit's own, None: all.
        """
        chosen = ACTIVE if states is None else [State(str(state).upper()) for state in states]
        return Rows(self.resourcemanager.apps(states=chosen, tags=tags, user=user, queue=queue, types=types, name=name))

    def launched(self, key: str) -> Application | None:
        """The newest application of a launch key; None when there is none, or it was superseded."""
        claim = self.ledger.newest(key)
        return None if claim is None or claim.superseded else self.attach(claim.app_id)

    def supersede(self, key: str) -> None:
        """Release a launch key: the next `submit` with it launches a new application and ends the old one."""
        claim = self.ledger.newest(key)
        if claim is not None and not claim.superseded:
            self.ledger.supersede(key, claim)

    def check(self) -> Sequence[str]:
        """Test the connection to ResourceManager and HDFS; a line for each result.

        Raises:
            KnitError: of the first request that fails.
        """
        return check_connection(self.cluster)

    def diagnose_connection(
        self,
        *,
        launch: bool = False,
        timeout: float | str = 10.0,
        on_start: Callable[[str], None] | None = None,
    ) -> Iterator[LayerCheck]:
        """Check the connection layer by layer, as `knit doctor` does; the result of each layer as soon as it is known.

            for check in knit.diagnose_connection():
                print(check.ok, check)

        The first layer that fails ends the checks: the results of all later ones have `ok` None. Connections of its own are
        used. Its only change on the cluster is the staging folder, which is made unless it is there; a small file is written
        into it and deleted.

        Args:
            launch: also run an application of one container, read its log, and call a function in a container.
            timeout: seconds, or a text such as "1 min", for each layer; those that launch have at least two minutes.
            on_start: called with the name of each layer when its check begins.
        """
        from knit_core.doctor import Launcher, diagnose, launch_timeout

        limit, config = seconds(timeout), self.config
        copied = replace(config, settings={**config.settings}, remote=None, home=None, fetch_principal=None)
        with Knit(config=copied) as own:
            own.clock, own.retry_timeout = self.clock, limit
            launcher = Launcher(own.submit, own.call, launch_timeout(limit)) if launch else None
            yield from diagnose(own.cluster, launcher, limit, on_start)

    # -- parts -------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The settings, each with its source."""
        return self.cluster.config

    @property
    def clock(self) -> Clock:
        """For deadlines and pauses. For tests; set it before the first call."""
        return self.cluster.clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        self.cluster.clock = clock

    @property
    def retry_timeout(self) -> float | None:
        """Seconds to wait for a reply, without repetition; None: requests are repeated during longer outages.

        For interactive programs; set it before the first call."""
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
        """Requests to NodeManagers; each call gives the address."""
        return self.cluster.nodes

    @property
    def staging(self) -> Staging:
        """The staging folder."""
        return self._storage.staging

    @property
    def ledger(self) -> Ledger:
        """The launch records."""
        return self._storage.ledger


def _listed(given: Iterable[str]) -> Sequence[str]:
    """A list; one text stays as it is, which the builder refuses with the remedy."""
    return given if isinstance(given, str) else list(given)
