"""KnitHook: makes a `knit_core.Knit` from an Airflow connection of type `knit`."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from knit_airflow.version_compat import BaseHook

if TYPE_CHECKING:
    from knit_core import Knit

_TEST_LAYER, _TEST_TIME = 5.0, 25.0  # seconds for one layer, and after which no further one is checked
_TOLD = ("who answers", "user", "HDFS", "queue", "nodes")


class KnitHook(BaseHook):
    """A YARN cluster, as a connection describes it.

    The connection's host (with a port, or a complete `http://…` address) is the ResourceManager; without a host Knit finds the
    cluster as in a script. Login is the acting user; the password is for a gateway, and its token with `auth` token. The fields of
    Extra are settings of Knit by name (`namenode`, `staging`, `queue`, `auth`, `gateway_path` …).

    Parameters:
        knit_conn_id: id of the connection.
    """

    conn_name_attr = "knit_conn_id"
    default_conn_name = "knit_default"
    conn_type = "knit"
    hook_name = "Knit (Hadoop YARN)"

    def __init__(self, knit_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.knit_conn_id = knit_conn_id
        self._knit: Knit | None = None

    def get_conn(self) -> Knit:
        """The cluster's client; made once per hook, without a request to the cluster.

        Raises:
            AirflowNotFoundException: there is no such connection.
            knit_core.errors.ConfigError: a field of it is unknown or invalid.
        """
        if self._knit is None:
            self._knit = _knit(self.get_connection(self.knit_conn_id))
        return self._knit

    async def aget_conn(self) -> Knit:
        """`get_conn` for triggers: does not block the event loop."""
        if self._knit is None:
            connection = await self.aget_connection(self.knit_conn_id)
            self._knit = await asyncio.to_thread(_knit, connection)
        return self._knit

    def test_connection(self) -> tuple[bool, str]:
        """For the form's test button: checks each layer from the configuration to the nodes, as the connection's user.

        Nothing is launched. The message has what was found, or the layer that failed, with what to do. It takes at most half a
        minute, also where a server does not answer.
        """
        from knit_core.errors import KnitError

        until, found = time.monotonic() + _TEST_TIME, list[str]()
        try:
            for check in self.get_conn().diagnose_connection(timeout=_TEST_LAYER):
                if check.ok is False:
                    return False, f"{check} ({check.error})"
                if check.ok and check.layer in _TOLD:
                    found.append(str(check))
                if time.monotonic() > until:
                    return (
                        False,
                        f"The cluster answers too slowly: after {_TEST_TIME:g} s the test had come to {check.label}",
                    )
        except KnitError as error:
            return False, f"configuration: {error}"
        return True, "; ".join(found)


def _knit(connection: Any) -> Knit:
    from knit_core import Knit
    from knit_core.errors import ConfigError

    # The library logs each file that it writes; that does not belong in a task's log.
    logging.getLogger("hdfs").setLevel(logging.WARNING)
    extra = connection.extra_dejson
    if not isinstance(extra, dict):
        raise ConfigError(
            f"Connection {connection.conn_id}: Extra is a JSON object of Knit's settings, not a list or text"
        )
    options = {name: value for name, value in extra.items() if value not in (None, "")}
    if connection.password:
        options["token" if options.get("auth") == "token" else "password"] = connection.password
    return Knit(_address(connection), user=connection.login or None, options=options)


def _address(connection: Any) -> str | None:
    host = (connection.host or "").strip()
    if not host:
        return None
    # A connection given as a URI has the protocol in its schema field: knit://rm:8088/https
    if "://" not in host and connection.schema in ("http", "https"):
        host = f"{connection.schema}://{host}"
    if not connection.port:
        return host
    scheme, mark, rest = host.rpartition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority}:{connection.port}{slash}{path}"
