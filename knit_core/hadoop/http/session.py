"""Session: the requests session of a service."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from knit_core.config.proxies import Proxies
from knit_core.hadoop.http.gateway_auth import GatewayLogin
from knit_core.hadoop.http.server_detection import is_rpc_port


class RpcPort(requests.RequestException):
    """The port is an RPC port of Hadoop, not a web server."""


class Downgrade(requests.RequestException):
    """A server that was reached by https redirects to http.

    Args:
        place: scheme, host and port to which it redirects.
    """

    def __init__(self, place: str, **more: Any) -> None:
        super().__init__(f"redirected to {place}", **more)
        self.place = place


class Session(requests.Session):
    """A session that chooses proxy and identity for each request, including redirected ones."""

    def __init__(self, proxies: Proxies) -> None:
        super().__init__()
        self._proxies = proxies

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        settings = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**settings, "proxies": self._proxies.by_scheme(str(url))}

    def rebuild_proxies(self, prepared_request: Any, proxies: Any) -> Any:
        chosen = self._proxies.by_scheme(str(prepared_request.url))
        return super().rebuild_proxies(prepared_request, chosen)  # type: ignore[no-untyped-call]

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        if isinstance(self.auth, GatewayLogin):
            self.auth.restrict(prepared_request)
        else:
            super().rebuild_auth(prepared_request, response)  # type: ignore[no-untyped-call]


def refuse_rpc_port(response: requests.Response, *_args: Any, **_options: Any) -> None:
    """Refuse a reply of an RPC port of Hadoop; its body cannot be read to the end.

    Raises:
        RpcPort: it is one.
    """
    if is_rpc_port(response):
        response.close()
        raise RpcPort("not a web port", request=response.request)


def refuse_downgrade(response: requests.Response, *_args: Any, **_options: Any) -> None:
    """Refuse a redirect from https to http: user names, tokens and data would go on without encryption.

    Raises:
        Downgrade: it is one.
    """
    place = urlsplit(urljoin(response.url, response.headers.get("Location", "")))
    if 300 <= response.status_code < 400 and urlsplit(response.url).scheme == "https" and place.scheme != "https":
        response.close()
        raise Downgrade(f"{place.scheme}://{place.netloc}", request=response.request)


__all__ = ["Downgrade", "RpcPort", "Session", "refuse_downgrade", "refuse_rpc_port"]
