"""Attach to, use and close a Dask cluster that another task has launched."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from knit_airflow.exceptions import KnitRefused, airflow_error
from knit_airflow.hooks.knit import KnitHook

if TYPE_CHECKING:
    from distributed import Client

    from knit_core import Application
    from knit_core.dask_yarn import DaskYARNCluster
    from knit_core.model.result import Result

#: Seconds for the shutdown before the application is killed.
_CLOSING = 30.0


@contextlib.contextmanager
def client(cluster: Any, **options: Any) -> Iterator[Client]:
    """Dask's client of a cluster that KnitDaskClusterOperator has launched, for the code of a task.

        @task
        def train(cluster):
            with client(cluster) as c:
                return c.submit(work).result()

    The end of the block disconnects from the cluster, which keeps running. `c.cluster` is the DaskYARNCluster: `scale`, and
    `adapt` until the end of the block.

    Parameters:
        cluster: the setup's output.
        options: of `distributed.Client`.

    Raises:
        KnitRefused: Dask is not installed for this task, or the keys belong to another user; no retries.
        KnitFailed: the cluster has ended or is unreachable.
    """
    with attach(cluster) as found:
        from distributed import Client

        with Client(found, **options) as made:
            yield made


def attach(cluster: Any, **options: Any) -> DaskYARNCluster:
    """The DaskYARNCluster itself; the end of a with-block disconnects from it, `shutdown` ends it.

    Parameters:
        cluster: the setup's output.
        options: `asynchronous`, `start_timeout` … of `DaskYARNCluster.from_application`.

    Raises:
        KnitRefused, KnitFailed: as in `client`.
    """
    from knit_core.errors import ConfigError, KnitError

    app_id, connection = place_of(cluster)
    if not app_id:
        raise KnitRefused(f"This is no Dask cluster of KnitDaskClusterOperator's: {cluster!r}")
    try:
        from knit_core.dask_yarn import DaskYARNCluster
    except ConfigError as error:
        raise KnitRefused(
            f"A task that uses a Dask cluster needs Dask on its worker, in the versions of the cluster's environment. {error}"
        ) from error
    try:
        return DaskYARNCluster.from_application(app_id, knit=KnitHook(connection).get_conn(), **options)
    except KnitError as error:
        raise airflow_error(error) from error


def place_of(cluster: Any) -> tuple[str, str]:
    """Application id and connection id from a setup's XCom: a mapping, its JSON text, or only the application's id."""
    if isinstance(cluster, str) and cluster.startswith("{"):
        cluster = json.loads(cluster)
    given = cluster if isinstance(cluster, Mapping) else {"application_id": cluster}
    return str(given.get("application_id") or ""), str(given.get("knit_conn_id") or KnitHook.default_conn_name)


def close(application: Application) -> Result:
    """End a cluster's application as SUCCEEDED, or kill it when it does not answer; returns its result.

    Raises:
        KnitError: both failed.
    """
    from knit_core.errors import ApplicationNotFound, KnitError

    try:
        if not application.report().ended:
            application.shutdown("SUCCEEDED", "the Dask cluster was closed")
        return application.wait(timeout=_CLOSING, poll=0.3, check=False)
    except ApplicationNotFound:
        raise
    except KnitError:
        application.kill("the Dask cluster was closed", grace=0)
        return application.wait(timeout=_CLOSING, check=False)
