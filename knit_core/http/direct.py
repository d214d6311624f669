"""Direct: small calls to an address that needs no identity, over kept connections.

requests prepares cookies, authentication and redirects for every call, which takes more time than an ApplicationMaster
needs for its answer. This goes to the connection pools that requests stands on; errors are those of requests.
"""

from __future__ import annotations

import requests
import urllib3

_HEADERS = {"Accept": "application/json", "User-Agent": "knit"}
#: Connections that are kept to one address: more are made when more threads call at once.
_KEPT = 8


class Direct:
    """Connections to any number of addresses; thread-safe."""

    def __init__(self) -> None:
        self._pools = urllib3.PoolManager(maxsize=_KEPT)

    def send(self, method: str, url: str, body: bytes, timeout: tuple[float, float]) -> tuple[int, bytes]:
        """Send one request, JSON if it has a body, and return status and body of the reply; redirects are not followed.

        Args:
            url: with its query.
            timeout: seconds to connect, and between two pieces of the reply.

        Raises:
            requests.RequestException: ConnectTimeout, ReadTimeout or ConnectionError.
        """
        try:
            reply = self._pools.request(
                method,
                url,
                body=body or None,
                headers={**_HEADERS, "Content-Type": "application/json"} if body else _HEADERS,
                timeout=urllib3.Timeout(connect=timeout[0], read=timeout[1]),
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.NewConnectionError as error:  # in urllib3 1 a kind of the next one
            raise requests.ConnectionError(error) from None
        except urllib3.exceptions.ConnectTimeoutError as error:
            raise requests.ConnectTimeout(error) from None
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.ReadTimeout(error) from None
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from None
        return reply.status, reply.data

    def close(self) -> None:
        """Close the connections that nobody uses just now."""
        self._pools.clear()
