"""The dashboard's start page for links from YARN: lists the pages that work through the ResourceManager's proxy.

The setting `distributed.scheduler.http.routes` contains this module, which is in the working folder of the scheduler's
container, as is dask_node.py.
"""

from __future__ import annotations

import html
import socket
from typing import Any

from tornado.web import RequestHandler

PATH = "/knit"
_WORKS = (
    ("info/main/workers.html", "workers, with their logs and call stacks"),
    ("info/main/logs.html", "the scheduler's log"),
    ("info/main/exceptions.html", "exceptions of tasks"),
    ("json/counts.json", "counts, as JSON"),
)


class Start(RequestHandler):  # type: ignore[misc]
    """Handler of the start page."""

    def initialize(self, dask_server: Any) -> None:
        """Called by Dask, with its scheduler."""
        self._server = dask_server

    def get(self) -> None:
        """Send the page."""
        host = self._server.address.split("://")[1].rpartition(":")[0] or socket.gethostname()
        port = self._server.identity()["services"]["dashboard"]
        proxied = "X-Forwarded-Prefix" in self.request.headers
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(page(host, port, proxied=proxied))


def page(host: str, port: int, *, proxied: bool) -> str:
    """The page as HTML, with relative links, which also work through the proxy.

    Args:
        host, port: of the dashboard.
        proxied: whether the request came through the ResourceManager's proxy.
    """
    here = f"http://{host}:{port}"
    links = "\n".join(f'<li><a href="{path}">{html.escape(text)}</a></li>' for path, text in _WORKS)
    plots = f'<p><a href="{"status" if not proxied else here + "/status"}">The moving plots</a>'
    if proxied:
        plots += (
            " need websockets, which the ResourceManager's proxy does not pass on: that link goes straight to the node. "
            "Where your browser does not reach it, open a tunnel through a machine that does, and then "
            '<a href="http://localhost:8787/status">http://localhost:8787/status</a>:</p>'
            f"<pre>ssh -N -L 8787:{html.escape(host)}:{port} EDGE-NODE</pre>"
            "<p>These pages work here:</p>"
        )
    else:
        plots += "; and:</p>"
    return (
        "<!DOCTYPE html><html><head><title>Dask on YARN</title></head>"
        '<body style="font-family: sans-serif; max-width: 50em; margin: 2em auto">'
        f"<h1>Dask on YARN</h1>{plots}<ul>{links}</ul></body></html>"
    )


routes: list[tuple[str, type, dict[str, Any]]] = [(PATH, Start, {})]
