"""Logs of running containers through Knox, where their NodeManagers cannot be reached.

Knox leads to a NodeManager's pages for people, not to its API: <base>/nodemanager/node/containerlogs/<id>/<user>. The first
page lists the files with their lengths; that of a file has its text from `start` on, in <pre>. A text is used only when it
has as many bytes as the file: the NodeManager decodes it (what is not UTF-8 is lost), and Knox rewrites addresses in it.
"""

from __future__ import annotations

import html
import logging
import re
import time
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import requests

from knit_core.config.gateways import SERVICES
from knit_core.errors import ConnectionFailed, KnitError, NotAuthorized, NotFound, RequestRefused, ServiceUnavailable
from knit_core.hadoop.http import HttpService
from knit_core.hadoop.http.service import base_of
from knit_core.logs.live.nodemanager import NodeListing, NodeLogs
from knit_core.model.clock import Clock

log = logging.getLogger(__name__)
_WAYS = (SERVICES["YARNUI"], SERVICES["YARNUIV2"])
_CHUNK = 1 << 20  # bytes of a file in one page
_TIMEOUT = (3.0, 10.0)  # seconds, to connect and between two bytes
_DIRECT_AGAIN = 300.0  # seconds after which a node is tried directly again
_FILE = re.compile(r">\s*([^<>]+?) : Total file length is (\d+) bytes\.")
_TEXT = re.compile(r"<pre>(.*)</pre>", re.DOTALL)
_LOST = "\ufffd"  # what a decoder makes of bytes that are no text


def node_logs(
    http: HttpService, address: str, scheme: str = "http", *, short: bool = False, clock: Clock = time
) -> NodeLogs:
    """Reads logs from one NodeManager: directly, else through the gateway that leads to the ResourceManager.

    Args:
        http: client for requests to the nodes; its endpoint has the ResourceManager's address.
        address, scheme, short: see `NodeLogs`.
        clock: the clock.
    """
    base = http.endpoint.addresses[0].rstrip("/")
    if not base.endswith(_WAYS):
        return NodeLogs(http, address, scheme, short=short)
    return NodeOrGateway(http, address, scheme, base, short=short, clock=clock)


class NodeOrGateway(NodeLogs):
    """A NodeManager's own address, and the gateway's way to it. Each listing decides which one the reads after it use.

    Args:
        http, address, scheme, short: see `NodeLogs`.
        gateway: base URL of Knox's service YARNUI or YARNUIV2.
        clock: the clock.
    """

    def __init__(
        self, http: HttpService, address: str, scheme: str, gateway: str, *, short: bool = False, clock: Clock = time
    ) -> None:
        super().__init__(http, address, scheme, short=short)
        self._pages = GatewayPages(http, address, scheme, gateway)
        self._clock = clock
        self._direct_from = 0.0  # by the monotonic clock
        self._through_gateway = False

    def close(self) -> None:
        super().close()
        self._pages.close()

    def listing(self, container: str) -> NodeListing:
        """As NodeLogs. Raises ConnectionFailed when neither way leads to the node."""
        now = self._clock.monotonic()
        if not self._through_gateway or now >= self._direct_from:
            try:
                found = super().listing(container)
                self._through_gateway = False
                return found
            except ConnectionFailed as error:
                direct = error
        else:
            direct = ConnectionFailed(f"{self._base} was not reached", address=self._base)
        try:
            found = self._pages.listing(container)
        except (NotFound, NotAuthorized):
            raise
        except KnitError as error:
            log.info("%s, and: %s", direct, error)
            self._through_gateway = False
            way = f"{self._base}, nor through the gateway: {self._pages.reason(error)}"
            raise ConnectionFailed(f"{direct} {error}", address=way) from None
        if not self._through_gateway:
            self._through_gateway, self._direct_from = True, now + _DIRECT_AGAIN
        elif now >= self._direct_from:
            self._direct_from = now + _DIRECT_AGAIN
        return found

    def read(self, container: str, stream: str, start: int, size: int) -> Iterator[bytes]:
        """As NodeLogs."""
        if self._through_gateway:
            return self._pages.read(container, stream, start, size)
        return super().read(container, stream, start, size)

    def beginning(self, container: str, stream: str, count: int) -> Iterator[bytes]:
        """As NodeLogs."""
        if self._through_gateway:
            return self._pages.read(container, stream, 0, count)
        return super().beginning(container, stream, count)


class GatewayPages:
    """A NodeManager's pages of logs, through Knox. For one thread at a time.

    Args:
        http: client with authentication and errors.
        address, scheme: of the NodeManager's web server.
        base: base URL of Knox's service.
    """

    def __init__(self, http: HttpService, address: str, scheme: str, base: str) -> None:
        self._http, self._base = http, base
        host, _, port = address.rpartition(":")
        self._query = {"scheme": scheme, "host": host, "port": port}
        self._session: requests.Session | None = None
        self._differing: set[tuple[str, str]] = set()  # logs of which a page has shown something else

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()

    def reason(self, error: KnitError) -> str:
        """Why there is no way through the gateway, in few words."""
        status = getattr(error, "status", None)
        forbidden = " (Knox: gateway.dispatch.whitelist)" if status in {403, 404} else ""
        return f"it answered {status}{forbidden}" if status else str(error)

    def listing(self, container: str) -> NodeListing:
        """The container's files and their lengths.

        Raises:
            NotFound: the node has none.
            NotAuthorized: the user may not see them.
            KnitError: the gateway does not lead to the node.
        """
        action = f"list the logs of {container} through the gateway"
        page = self._page(container, "", {}, action)
        found = _FILE.findall(page)
        if not found:
            if "not authorized" in page:
                raise NotAuthorized(f"{action}: the user may not see them", status=403, address=self._base)
            raise NotFound(f"{action}: its node lists none", status=404, address=self._base, action=action)
        sizes = {html.unescape(name): int(size) for name, size in found}
        if len(sizes) < len(found):
            raise ServiceUnavailable(f"{action}: some were uploaded, which the pages of the node do not tell apart")
        return NodeListing(sizes, {})

    def read(self, container: str, stream: str, start: int, size: int) -> Iterator[bytes]:
        """Bytes of a file from `start` to its end, in pieces; an unfinished character at the end is left out.

        Raises:
            ServiceUnavailable: what the page shows is not what the file has.
        """
        action = f"read {stream} of {container} through the gateway"
        if (container, stream) in self._differing:
            raise self._differs(action)
        while start < size:
            end = min(size, start + _CHUNK)
            page = self._page(container, f"{quote(stream, safe='')}/", {"start": str(start), "end": str(end)}, action)
            text = _TEXT.search(page)
            if text is None:
                raise NotFound(f"{action}: the node does not show it", status=404, address=self._base, action=action)
            data = exact(html.unescape(text[1]), end - start, urlsplit(self._base).path)
            if data is None:
                self._differing.add((container, stream))
                raise self._differs(action)
            if not data:
                return
            yield data
            start += len(data)

    def _differs(self, action: str) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"{action}: the page differs from the file (it has bytes that are no UTF-8, or addresses that Knox rewrites); its "
            "lines come after the end",
            address=self._base,
            action=action,
        )

    def _page(self, container: str, file: str, query: dict[str, str], action: str) -> str:
        if self._session is None:
            self._session = self._http.new_session()
        user = quote(self._http.endpoint.auth.user, safe="")
        try:
            response = self._session.get(
                f"{self._base}/nodemanager/node/containerlogs/{container}/{user}/{file}",
                params={**self._http.endpoint.auth.parameters(), **query, **self._query},
                headers={"Accept": "text/html"},
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            parts = urlsplit(self._base)
            raise self._http.broken(error, f"{parts.scheme}://{parts.netloc}", action, name="gateway") from None
        if response.status_code != 200:
            # not NotFound or NotAuthorized: it is the gateway that answers, which says nothing about the container
            status, place = response.status_code, base_of(response)
            raise RequestRefused(f"{action}: {place} answered {status}", status=status, address=place, action=action)
        return response.content.decode("utf-8", "replace")


def exact(text: str, count: int, path: str) -> bytes | None:
    """The bytes of a file that a page shows; None when they may differ from the file's.

    The NodeManager counts characters: of a text with others than ASCII it shows more bytes than it was asked for.

    Args:
        text: that of the page.
        count: bytes that it was asked for.
        path: the gateway's, as in rewritten addresses.
    """
    whole = text.removesuffix(_LOST)
    data = whole.encode("utf-8", "replace")
    if _LOST in whole:
        return None
    same = len(data) == count and whole == text
    cut = 0 < count - len(data) < 4 and whole != text  # within a character, the rest of which is not written yet
    grown = len(data) > count >= len(whole) and path not in text
    return data if same or cut or grown else None


__all__ = ["GatewayPages", "NodeOrGateway", "exact", "node_logs"]
