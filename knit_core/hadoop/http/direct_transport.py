"""DirectTransport: small calls to addresses that need no identity, over kept connections.

requests prepares cookies, authentication and redirects for every call, which takes longer than the reply of an
ApplicationMaster. This class uses urllib3's connection pools directly and raises the errors of requests.
"""

from __future__ import annotations

import threading
from urllib.parse import unquote, urlsplit

import requests
import urllib3

from knit_core.config.proxies import Proxies, without_user
from knit_core.hadoop.http.adapter import reject_truncated_headers

_HEADERS = {"Accept": "application/json", "User-Agent": "knit"}
#: Connections kept open to one address. More are opened when more threads call at once.
_KEPT = 8


class DirectTransport:
    """Connections to any number of addresses; thread-safe."""

    def __init__(self, proxies: Proxies | None = None) -> None:
        self._proxies = proxies or Proxies()
        self._pools: dict[str, urllib3.PoolManager] = {"": reject_truncated_headers(urllib3.PoolManager(maxsize=_KEPT))}
        self._lock = threading.Lock()

    def send(self, method: str, url: str, body: bytes, timeout: tuple[float, float]) -> tuple[int, bytes]:
        """Send one request, JSON if it has a body, and return status and body of the reply; redirects are not followed.

        Args:
            url: with its query.
            timeout: seconds to connect, and between two parts of the reply.

        Raises:
            requests.RequestException: ConnectTimeout, ReadTimeout or ConnectionError.
        """
        try:
            reply = self._pool(url).request(
                method,
                url,
                body=body or None,
                headers={**_HEADERS, "Content-Type": "application/json"} if body else _HEADERS,
                timeout=urllib3.Timeout(connect=timeout[0], read=timeout[1]),
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.NewConnectionError as error:  # in urllib3 1 a subclass of the next one
            raise requests.ConnectionError(error) from None
        except urllib3.exceptions.ConnectTimeoutError as error:
            raise requests.ConnectTimeout(error) from None
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.ReadTimeout(error) from None
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from None
        return reply.status, reply.data

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            for pool in self._pools.values():
                pool.clear()

    def _pool(self, url: str) -> urllib3.PoolManager:
        """The connections for an address: direct, or through its proxy."""
        proxy = self._proxies.of(url)
        with self._lock:
            name = without_user(proxy)
            if name not in self._pools:
                self._pools[name] = _proxy_pool(proxy)
            return self._pools[name]


def _proxy_pool(proxy: str) -> urllib3.PoolManager:
    if proxy.startswith("socks"):
        from urllib3.contrib.socks import SOCKSProxyManager

        return reject_truncated_headers(SOCKSProxyManager(proxy, maxsize=_KEPT))
    parts = urlsplit(proxy)
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    headers = urllib3.make_headers(proxy_basic_auth=user) if user else None
    return reject_truncated_headers(urllib3.ProxyManager(without_user(proxy), maxsize=_KEPT, proxy_headers=headers))
