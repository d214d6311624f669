"""`Knit` of knit 0.2.4: one object that launches one application and then gives access to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from knit.configuration import merged, settings
from knit.env import CondaCreator
from knit.exceptions import KnitException, translated
from knit.yarn_api import YARNAPI
from knit_core import Application, Outcome
from knit_core import Knit as Client
from knit_core.errors import WaitTimeout


class Knit:
    """Launches YARN applications.

    Args:
        autodetect: kept for compatibility: missing settings are always detected (see `knit_core.config`).
        upload_always: kept for compatibility: uploaded files are recognized by their content.
        hdfs_home: folder on HDFS below which Knit keeps its files.
        knit_home: kept for compatibility: the folder of a jar in knit 0.2.4.
        hdfs: another client of HDFS, for your own use (`.hdfs`).
        pars: settings by name: nn, nn_port, rm, rm_port, rm_port_https, user, password, gateway_path, replication_factor,
            lang, and raw Hadoop keys.
        kwargs: the same settings; they override `pars`.

    Raises:
        HDFSConfigException: no cluster was found; the message lists all places that were searched.
        KnitException: the cluster requires a password.
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
        self.conf = merged(pars, kwargs)
        self.upload_always = upload_always
        self.lang: str = self.conf["lang"]
        options = settings(self.conf, hdfs_home)
        with translated():
            self.client = Client(user=self.conf.get("user"), options=options)
            rm = urlsplit(self.client.config.resourcemanagers[0])
        self.conf.update(rm=rm.hostname, rm_port=rm.port, user=self.client.config.user)
        self.yarn_api = YARNAPI(str(rm.hostname), rm.port or 8088, rm.scheme, _client=self.client)
        self.hdfs_home = hdfs_home or f"/user/{self.client.config.user}"
        self._hdfs = hdfs
        self.app: Application | None = None

    @property
    def hdfs(self) -> Any:
        """The client of HDFS: the given one, else WebHDFS."""
        return self._hdfs if self._hdfs is not None else self.client.hdfs

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
        """Launch `cmd` in containers; returns the application id. Memory is in MiB for each container."""
        if isinstance(files, str):
            raise KnitException(f"files is a list of paths, not one text: files=[{files!r}]")
        if isinstance(memory, bool) or not isinstance(memory, (int, float)):
            raise KnitException(f"memory is a number of MiB, not {memory!r}")
        envvars = {"LANG": self.lang, **(envvars or {})}
        with translated():
            app_id = self.client.start(
                cmd, num_containers, virtual_cores, memory, files, envvars, app_name, queue, checks, env
            )
        self.app = self.client.attach(app_id)
        return app_id

    def create_env(
        self,
        env_name: str,
        packages: Sequence[str] | None = None,
        remove: bool = False,
        channels: Sequence[str] | None = None,
        conda_pars: Mapping[str, Any] | None = None,
    ) -> str:
        """Build a conda environment; returns the path of its archive.

        Args:
            env_name: a label.
            packages: conda specs; by default only python.
            remove: build it again.
            channels: conda channels; by default conda-forge.
            conda_pars: arguments of CondaCreator; only `channels` has an effect.
        """
        wanted = [*(channels or ()), *((conda_pars or {}).get("channels") or ())]
        with translated():
            built = self.client.create_env(env_name, packages or ["python"], wanted, refresh=remove)
        return str(built.archive)

    def list_envs(self) -> list[str]:
        """Names of the environments built on this machine."""
        from knit_core.environments import EnvironmentBuilder

        return sorted({*(env.name for env in EnvironmentBuilder().list()), *CondaCreator().list_envs()})

    def check_needs_upload(self, path: str) -> bool:
        """Whether a launch with this file would upload it, because HDFS does not have this content."""
        from knit_core.hdfs_cache.staging import inspect

        with translated():
            upload = inspect(path)
            return self.upload_always or self.client.hdfs.status(upload.remote(self.client.config.staging)) is None

    def status(self) -> dict[str, Any]:
        """The ResourceManager's report of the application."""
        with translated():
            return self._started().report().to_dict()

    def runtime_status(self) -> str:
        """YARN's state; "NONE" before the start."""
        if self.app is None:
            return "NONE"
        with translated():
            return str(self.app.report().state)

    def wait_for_completion(self, timeout: float = 10) -> bool:
        """Whether it ended, with any outcome, within `timeout` seconds; see `outcome`."""
        app = self._started()
        with translated():
            try:
                app.wait(timeout, check=False)
            except WaitTimeout:
                return False
        return True

    @property
    def outcome(self) -> Outcome | None:
        """The outcome; None while it runs."""
        with translated():
            return self._started().report().outcome

    def get_containers(self) -> list[str]:
        """YARN's ids of the running containers."""
        with translated():
            return [row.yarn for row in self._started().containers() if row.yarn and not row.state.ended]

    def get_container_statuses(self) -> dict[str, str]:
        """State by container id."""
        with translated():
            return {row.yarn or row.id: str(row.state) for row in self._started().containers()}

    def add_containers(self, num_containers: int = 1, virtual_cores: int = 1, memory: int = 128) -> None:
        """Start more containers of the same size: `virtual_cores` and `memory` have no effect."""
        with translated():
            app = self._started()
            app.scale(app.details()["services"]["main"]["instances"] + num_containers)

    def remove_containers(self, container_id: str) -> None:
        """End one container."""
        with translated():
            self._started().kill_container(container_id)

    def logs(self, shell: bool = False) -> dict[str, dict[str, Any]]:
        """`name`, `nodeId`, `stdout` and `stderr` by YARN's container id."""
        return self.yarn_api.logs(self._started().id, shell)

    def print_logs(self, shell: bool = False) -> None:
        """Print the result of `logs`."""
        for container, found in self.logs(shell).items():
            for name in ("stdout", "stderr"):
                print(f"### Container {container}, {name}\n{found[name]}")

    def kill(self) -> bool:
        """End the application; True when it was still running."""
        with translated():
            return self._started().kill()

    def _started(self) -> Application:
        if self.app is None:
            raise KnitException("No application was started yet: call start() first")
        return self.app
