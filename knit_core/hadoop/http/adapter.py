"""Connections of requests and urllib3 that reject replies with truncated headers: see knit_container/complete_headers.py."""

from __future__ import annotations

import functools
import ssl
from typing import Any

import requests
import urllib3

from knit_container.complete_headers import CompleteHeaders


@functools.cache
def _pool_class(base: Any) -> Any:
    def connect(self: Any) -> None:
        """Connect without urllib3's warning of an unverified server on each new connection: Knit warns once (tls.py)."""
        base.ConnectionCls.connect(self)
        self.is_verified = self.proxy_is_verified = True

    added = {"response_class": CompleteHeaders, "connect": connect}
    connection = type(base.ConnectionCls.__name__, (base.ConnectionCls,), added)
    return type(base.__name__, (base,), {"ConnectionCls": connection})


def reject_truncated_headers(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """Make the connections of a manager raise ProtocolError when a reply ends within its headers; the manager."""
    manager.pool_classes_by_scheme = {
        scheme: _pool_class(each) for scheme, each in manager.pool_classes_by_scheme.items()
    }
    return manager


class CompleteHeadersAdapter(requests.adapters.HTTPAdapter):
    """An adapter that raises requests.ConnectionError when a reply ends within its headers.

    Args:
        context: for https; None: requests' own.
        options: those of requests' adapter.
    """

    def __init__(self, context: ssl.SSLContext | None = None, **options: Any) -> None:
        self._context = context
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **self._with_context(options))
        reject_truncated_headers(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **self._with_context(options))
        return manager if known else reject_truncated_headers(manager)

    def _with_context(self, options: dict[str, Any]) -> dict[str, Any]:
        return options if self._context is None else {**options, "ssl_context": self._context}
