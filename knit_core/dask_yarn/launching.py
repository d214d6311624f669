"""Launches a cluster's application and waits for its scheduler. Blocking calls; DaskYARNCluster runs them in threads."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import dask

from knit_core.application import Application
from knit_core.client import Knit
from knit_core.dask_yarn.programs.dask_node import versions
from knit_core.dask_yarn.services import SCHEDULER, SCHEDULER_KEY, TAG, Layout, specification
from knit_core.dask_yarn.tls import key_file
from knit_core.dask_yarn.versions import VersionMismatch, mismatch_message, mismatches
from knit_core.errors import KnitError, NotFound, WaitTimeout
from knit_core.model.states import State

_PLAIN_LINK = "{scheme}://{host}:{port}/status"  # Dask's own default
_REACH = 3.0  # seconds for a connection to the dashboard's node


@dataclass(frozen=True)
class Scheduler:
    """A cluster's scheduler, from its record in the key-value store.

    Attributes:
        address: for clients ("tls://node07:40123").
        dashboard: address of its dashboard; empty without one.
        tls: SHA-256 of the file with the keys; empty without TLS.
        versions: of its packages.
        groups: groups of workers, with their `processes`.
        revision: of the record; that of a restarted scheduler is greater.
    """

    address: str
    dashboard: str = ""
    tls: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    revision: int = 0

    @classmethod
    def parse(cls, value: Mapping[str, Any], revision: int) -> Scheduler:
        """From the key-value store."""
        known = {key: value[key] for key in cls.__dataclass_fields__ if key in value}
        return cls(**{**known, "revision": revision})


def launch(knit: Knit, layout: Layout, security: Any, fields: Mapping[str, Any]) -> Application:
    """Submit the cluster's application.

    Raises:
        SpecError, PreflightError, …: as `Knit.submit`; nothing was launched.
    """
    warn_before(layout)
    checks = fields.get("checks", True)
    given = {key: value for key, value in fields.items() if key != "checks"}
    with key_file(security) as path:
        return knit.submit(specification(layout, path, **given), checks=checks)


def warn_before(layout: Layout) -> None:
    """Warn if the environment has other versions than this machine, if its packages are known."""
    packages = getattr(layout.env, "packages", ())
    if not packages:
        return
    there = {package.name: package.version for package in packages}
    here = {name: version for name, version in versions().items() if name in there or name in {"dask", "distributed"}}
    _warn(mismatches(here, {name: version for name, version in there.items() if name in here}))


def warn_after(scheduler: Scheduler) -> None:
    """Warn if the scheduler has other versions than this machine."""
    if scheduler.versions:
        _warn(mismatches(versions(), scheduler.versions))


def _warn(lines: list[str]) -> None:
    if lines:
        warnings.warn(mismatch_message(lines), VersionMismatch, stacklevel=2)


def wait_for_scheduler(app: Application, timeout: float) -> Scheduler:
    """Wait until the application's scheduler is ready.

    Raises:
        WaitTimeout: not ready in time; the message has the reason.
        ApplicationFailed, …: the application ended before that; with its last lines.
    """
    clock = app.cluster.clock
    deadline = clock.monotonic() + timeout
    try:
        app.wait_until_ready(SCHEDULER, timeout=timeout)
    except WaitTimeout as error:
        raise WaitTimeout(f"The Dask scheduler of {app.id} was not ready within {timeout:g} s. {why(app)}") from error
    except KeyError:
        pass  # its scheduler runs in its first client's process
    while True:
        entry = app.kv.entry(SCHEDULER_KEY)
        if entry is not None:
            return Scheduler.parse(entry.value, entry.revision)
        if clock.monotonic() > deadline:
            raise WaitTimeout(f"{app.id} runs, but its Dask scheduler did not publish its address within {timeout:g} s")
        clock.sleep(0.1)


def wait_for_master(app: Application, timeout: float) -> None:
    """Wait until the ApplicationMaster runs, for a cluster with a local scheduler.

    Raises:
        WaitTimeout, ApplicationFailed, …
    """
    try:
        report = app.wait_until(lambda found: found.state is State.RUNNING, timeout)
    except WaitTimeout as error:
        raise WaitTimeout(f"{app.id} did not start within {timeout:g} s. {why(app)}") from error
    if report.ended:
        app.wait()


def why(app: Application) -> str:
    """Why the application waits or ended; empty when that cannot be queried."""
    try:
        return str(app.why())
    except KnitError:
        return ""


def find(knit: Knit, name: str) -> Application:
    """The newest running cluster with this name.

    Raises:
        NotFound: there is no such cluster.
    """
    found = knit.list(name=name, tags=[TAG], states=[State.ACCEPTED, State.RUNNING])
    if not found:
        running = sorted({report.name for report in knit.list(tags=[TAG])})
        raise NotFound(
            f"No Dask cluster with the name {name!r} runs at {knit.resourcemanager.address}; "
            f"there are: {', '.join(running) or 'none'}"
        )
    return knit.attach(found[-1].id)


def dashboard_for(scheduler: Scheduler, app: Application) -> str:
    """The dashboard's address for a browser on this machine; empty when there is none.

    The address from `distributed.dashboard.link` (for example, of a Jupyter server's proxy), else the one on the node if
    this machine can connect to it, else its page in the ResourceManager.
    """
    place = urlsplit(scheduler.dashboard)
    if not place.hostname or not place.port:
        return ""
    template = str(dask.config.get("distributed.dashboard.link"))
    if template != _PLAIN_LINK:
        return template.format(**{**os.environ, "scheme": "http", "host": place.hostname, "port": place.port})
    try:
        with socket.create_connection((place.hostname, place.port), timeout=_REACH):
            return scheduler.dashboard
    except OSError:
        pass
    try:
        return app.pages().get("dashboard", scheduler.dashboard)
    except KnitError:
        return scheduler.dashboard


def address_towards(url: str) -> str:
    """This machine's address on the route to the ResourceManager, which containers use for a local scheduler."""
    place = urlsplit(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((place.hostname or "127.0.0.1", place.port or 80))
        return str(probe.getsockname()[0])
