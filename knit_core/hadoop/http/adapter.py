"""Connections of requests and urllib3 that reject replies with truncated headers: see knit_container/complete_headers.py."""

from __future__ import annotations

import functools
from typing import Any

import requests
import urllib3

from knit_container.complete_headers import CompleteHeaders


@functools.cache
def _pool_class(base: Any) -> Any:
    connection = type(base.ConnectionCls.__name__, (base.ConnectionCls,), {"response_class": CompleteHeaders})
    return type(base.__name__, (base,), {"ConnectionCls": connection})


def reject_truncated_headers(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """Make the connections of a manager raise ProtocolError when a reply ends within its headers; the manager."""
    manager.pool_classes_by_scheme = {
        scheme: _pool_class(each) for scheme, each in manager.pool_classes_by_scheme.items()
    }
    return manager


class CompleteHeadersAdapter(requests.adapters.HTTPAdapter):
    """An adapter that raises requests.ConnectionError when a reply ends within its headers."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        reject_truncated_headers(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        return manager if known else reject_truncated_headers(manager)
