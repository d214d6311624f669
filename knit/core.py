"""`Knit` of knit 0.2.4: one object that launches one application and then gives access to it."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from knit import namenode
from knit.at_exit import end_quietly, why
from knit.configuration import Settings, connection, hint
from knit.env import CondaCreator, environment_of
from knit.exceptions import KnitException, WrongValue, translated
from knit.notices import warn_ignored, warn_old
from knit.refusals import refusal, refusing
from knit.utils import triple_slash
from knit.yarn_api import YARNAPI
from knit_core import Application, Outcome
from knit_core import Knit as Client
from knit_core.errors import ApplicationNotFound, WaitTimeout
from knit_core.hdfs_cache.staging import inspect
from knit_core.model.environment import ARCHIVE_SUFFIXES
from knit_core.model.states import State
from knit_core.model.units import mebibytes

_MASTER_TIMEOUT = 100.0  # seconds until the ApplicationMaster runs
__getattr__ = refusing(__name__)


class Knit:
    """Launches YARN applications.

    What it started ends with it: when the object is deleted, or the process ends, as in knit 0.2.4. `knit_core.Knit` lets
    applications run on.

    Args:
        autodetect: False: no file, variable or running cluster is looked at, and `rm` is needed.
        upload_always: kept for compatibility: uploaded files are recognized by their content.
        hdfs_home: folder on HDFS below which Knit keeps its files.
        knit_home: has no effect: the folder of a jar in knit 0.2.4.
        hdfs: another client of HDFS, for your own use (`.hdfs`).
        pars: settings by name: nn, nn_port, rm, rm_port, rm_port_https, user, password, gateway_path, replication_factor,
            lang, any property of Hadoop, and any setting of knit_core.
        kwargs: the same settings; they override `pars`.

    Attributes:
        conf: Hadoop's properties of the files, what follows from them, and what was given.
        client: the client of knit_core.
        app: the application, as knit_core has it; None before the start.

    Raises:
        HDFSConfigException: no cluster was found; the message lists all places that were searched.
        KnitException: the cluster requires a password, or a port is not a number.
    """

    def __init__(
        self,
        autodetect: bool = True,
        upload_always: bool = False,
        hdfs_home: str | None = None,
        knit_home: str | None = None,
        hdfs: Any = None,
        pars: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if upload_always:
            warn_old("upload_always=True", "no setting: files are uploaded again whenever their content has changed")
        if knit_home is not None:
            warn_ignored("knit_home", "there is no jar to name")
        given = Settings.of(pars, kwargs)
        config, self.conf = connection(given, autodetect, hdfs_home)
        self.upload_always = upload_always
        self.lang: str = self.conf["lang"]
        with translated():
            self.client = Client(config=config)
        self._hint = hint(given)
        rm = urlsplit(config.resourcemanagers[0])
        port = rm.port or (8090 if rm.scheme == "https" else 8088)
        self.yarn_api = YARNAPI(
            str(rm.hostname),
            port,
            rm.scheme,
            rm.path,
            False,
            config.known_user,
            config.get("password"),
            _client=self.client,
        )
        home = config.get("staging")
        self.hdfs_home = home.removesuffix("/.knit") if home else f"/user/{config.known_user}"
        self._hdfs = hdfs
        self.app: Application | None = None
        self._size = 1, 128
        self._end: weakref.finalize[..., Knit] | None = None

    def __getattr__(self, name: str) -> Any:
        raise refusal("knit.core.Knit", name)

    @property
    def hdfs(self) -> Any:
        """The client of HDFS: the given one, else WebHDFS."""
        if self._hdfs is None:
            self.find_namenode()
            return self.client.hdfs
        return self._hdfs

    @hdfs.setter
    def hdfs(self, client: Any) -> None:
        self._hdfs = client

    def __repr__(self) -> str:
        return f"Knit<RM={self.client.config.settings['resourcemanager'].value.partition('://')[2]}>"

    @property
    def app_id(self) -> str | None:
        """Id of the started application; None before the start."""
        return self.app.id if self.app else None

    def start(
        self,
        cmd: str,
        num_containers: int = 1,
        virtual_cores: int = 1,
        memory: int = 128,
        files: Sequence[str] | None = None,
        envvars: Mapping[str, str] | None = None,
        app_name: str = "knit",
        queue: str = "default",
        checks: bool = True,
        env: Any = None,
    ) -> str:
        """Launch `cmd` in containers, wait until the ApplicationMaster runs, and return the application's id.

        Args:
            cmd: command of each container.
            num_containers, virtual_cores, memory: number of containers; cores and MiB of each.
            files: paths; `x.zip` is unpacked to `./x.zip/`; `hdfs://` paths are used in place, `hdfs://tmp/x` is /tmp/x.
            envvars: environment variables; KNIT_LANG is the containers' language.
            app_name, queue: name and queue of the application.
            checks: refuse what the cluster cannot run before anything is submitted.
            env: an environment, its archive or its folder. A ZIP file may have all in one folder.

        Raises:
            ValueError: an application that this object started still runs, or an environment variable is not a text.
            KnitException: wrong use, or a request that the cluster cannot fulfil; the application does not run within 100 s.
            YARNException: YARN is unreachable, or refused the request.
        """
        variables = self.variables(envvars)
        if self._runs():
            raise WrongValue(f"Already started: {self.app_id} still runs. Call kill() first, or make another Knit()")
        if isinstance(memory, bool) or not isinstance(memory, (int, float)):
            raise KnitException(f"memory is a number of MiB, not {memory!r}")
        if isinstance(files, str):
            raise KnitException(f"files is a list of paths, not one text: files=[{files!r}]")
        with translated():
            self.find_namenode()
            app_id = self.client.start(
                cmd,
                num_containers,
                virtual_cores,
                memory,
                [self.file(path) for path in files or ()],
                variables,
                app_name,
                queue,
                checks,
                environment_of(self._on_hdfs(env)),
            )
            self.own(self.client.attach(app_id))
            self._size = virtual_cores, mebibytes(memory)
            self._wait_for_master()
        return app_id

    def own(self, app: Application) -> None:
        """Give access to an application, and end it with this object."""
        self.app = app
        self._end = weakref.finalize(self, end_quietly, self.client.config, app.id, os.getpid())

    @staticmethod
    def create_env(
        env_name: str,
        packages: Sequence[str] | None = None,
        remove: bool = False,
        channels: Sequence[str] | None = None,
        conda_pars: Mapping[str, Any] | None = None,
    ) -> str:
        """Build a conda environment; the path of its ZIP file, with the name as its only folder.

        Args:
            env_name: its name.
            packages: conda specs; without them the environment must exist.
            remove: build it again.
            channels: conda channels; by default conda-forge.
            conda_pars: arguments of CondaCreator.

        Raises:
            TypeError: packages or channels are a text.
            CondaException: it cannot be built, or does not exist.
        """
        pars = dict(conda_pars or {})
        more = pars.pop("channels", None) or ()
        wanted = channels if isinstance(channels, str) else [*(channels or ()), *more]
        return CondaCreator(channels=wanted, **pars).create_env(env_name, packages=packages, remove=remove)

    def list_envs(self) -> list[dict[str, Any]]:
        """The archives in Knit's cache on HDFS: `name` (the path), `size`, `last_mod`, `owner`, `permissions`, `kind`."""
        with translated():
            self.find_namenode()
            hdfs, cache = self.client.hdfs, f"{self.client.config.staging}/cache"
            found = [file for folder in hdfs.list(cache) for file in hdfs.list(folder.path)]
        return [
            {
                "name": file.path,
                "size": file.size,
                "last_mod": file.modified // 1000,
                "owner": file.owner,
                "permissions": file.permission,
                "kind": "file",
            }
            for file in found
            if file.path.lower().endswith(ARCHIVE_SUFFIXES)
        ]

    def check_needs_upload(self, path: str) -> bool:
        """Whether a launch with this file would upload it, because HDFS does not have this content."""
        with translated():
            self.find_namenode()
            upload = inspect(path)
            return self.upload_always or self.client.hdfs.status(upload.remote(self.client.config.staging)) is None

    def status(self) -> dict[str, Any]:
        """YARN's `app` object of the application: `state`, `finalStatus`, `runningContainers`, `allocatedMB` …"""
        return self.yarn_api.status(self._started().id)

    def runtime_status(self) -> str:
        """YARN's state, KILLED after `kill`; "NONE" before the start, and when YARN does not know or does not answer."""
        if self.app is None:
            return "NONE"
        try:
            return self.yarn_api.state(self.app.id)
        except KnitException:
            return "NONE"

    def wait_for_completion(self, timeout: float = 10) -> bool:
        """Whether it ended, with any outcome, within `timeout` seconds; see `outcome`."""
        app = self._started()
        with translated():
            try:
                app.wait(timeout, check=False)
            except WaitTimeout:
                return False
        self._ended()
        return True

    @property
    def outcome(self) -> Outcome | None:
        """The outcome; None while it runs."""
        with translated():
            return self._started().report().outcome

    def get_containers(self) -> list[dict[str, Any]]:
        """The present containers, the ApplicationMaster's first: see `YARNAPI.app_containers`."""
        return self.yarn_api.app_containers(self._started().id)

    def get_container_statuses(self) -> dict[str, str]:
        """State by container id."""
        return {row["id"]: row["state"] for row in self.get_containers()}

    def add_containers(
        self, num_containers: int = 1, virtual_cores: int | None = None, memory: int | None = None
    ) -> None:
        """Start more containers of the size given to `start`.

        Raises:
            KnitException: another size, which needs an application, or a service of `knit_core`, of its own.
        """
        app, (cores, size) = self._started(), self._size
        if (virtual_cores or cores) != cores or mebibytes(memory or size) != size:
            raise KnitException(
                f"The containers of {app.id} have {cores} cores and {size} MiB; containers of another size need another "
                "Knit().start(…), or a service of their own (knit_core.Knit.submit). None was added"
            )
        if num_containers < 1:
            raise KnitException(f"num_containers is at least 1, not {num_containers}")
        with translated():
            app.scale(by=num_containers)

    def remove_containers(self, container_id: str) -> None:
        """End one container.

        Raises:
            KnitException: there is no such container, or it is the ApplicationMaster's: `kill` ends all.
        """
        with translated():
            self._started().kill_container(container_id)

    def logs(self, shell: bool = False) -> dict[str, dict[str, Any]]:
        """`name`, `nodeId`, `stdout` and `stderr` by YARN's container id: see `YARNAPI.logs`."""
        return self.yarn_api.logs(self._started().id, shell)

    def print_logs(self, shell: bool = False) -> None:
        """Print the result of `logs`."""
        for container, found in self.logs(shell).items():
            for name in ("stdout", "stderr"):
                print(f"### Container {container}, {name}\n{found[name]}")

    def kill(self) -> bool:
        """End the application; True when it was still running, False before the start."""
        if self.app is None:
            return False
        with translated():
            killed = self.app.kill()
        self._ended()
        return killed

    # -- for knit.dask_yarn ------------------------------------------------

    def variables(self, envvars: Mapping[str, str] | None) -> dict[str, str]:
        """The containers' variables: the language, and those of `start`."""
        given = dict(envvars or {})
        for name, value in given.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise WrongValue(f"Environment variables are texts, not {name!r}: {value!r}")
        if "KNIT_LANG" in given:
            warn_old("envvars={'KNIT_LANG': …}", "lang= of Knit(…), or envvars={'LANG': …}")
        lang = given.get("KNIT_LANG", self.lang)
        return {"LANG": lang, "LC_ALL": lang, **given}

    def file(self, path: str) -> str:
        """A file of `start`, as knit_core takes it."""
        found = str(self._on_hdfs(path))
        if found.endswith(".zip") and environment_of(found) != found:
            warn_old("files=[environment]", "env=: nodes unpack it faster, and `python` is the environment's")
        return found

    def find_namenode(self) -> None:
        """Find the NameNode that `nn` and `nn_port` name; no effect without them, or a second time.

        Raises:
            KnitException: it belongs to another cluster.
        """
        if self._hint is not None:
            with translated():
                namenode.use(self.client, self._hint)
            self._hint = None

    # -- private -----------------------------------------------------------

    def _started(self) -> Application:
        if self.app is None:
            raise KnitException("No application was started yet: call start() first")
        return self.app

    def _runs(self) -> bool:
        if self.app is None:
            return False
        with translated():
            try:
                return not self.app.report().ended
            except ApplicationNotFound:
                return False

    def _ended(self) -> None:
        if self._end is not None:
            self._end.detach()

    def _wait_for_master(self) -> None:
        app = self._started()
        try:
            report = app.wait_until(lambda found: found.state is State.RUNNING, _MASTER_TIMEOUT)
        except WaitTimeout:
            text = f"{app.id} was accepted, but does not run after {_MASTER_TIMEOUT:g} s"
            raise KnitException(f"{text}. {why(app)} It still waits: wait, or call kill()") from None
        if report.state in {State.FAILED, State.KILLED}:
            raise KnitException(f"{app.id} ended as {report.state} before it ran. {why(app)}")

    def _on_hdfs(self, path: Any) -> Any:
        """`hdfs://tmp/x` is the path /tmp/x, as in knit 0.2.4, unless `tmp` is the cluster's HDFS."""
        if not isinstance(path, str) or not path.startswith("hdfs://"):
            return path
        name = urlsplit(path).netloc
        if not name or ":" in name or "." in name or name == urlsplit(self.client.config.filesystem.value).hostname:
            return path
        return triple_slash(path)


__all__ = ["Knit"]
