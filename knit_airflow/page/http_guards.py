"""Security of the page's HTTP: headers of every response, and rejection of actions from other sites."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

#: No inline scripts or styles, no other hosts, frames only in Airflow.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class SecurityHeaders:
    """ASGI middleware that adds HEADERS to every response, also to errors, unless the response has the header."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request."""

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", [])}
                added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *(each for each in added if each[0] not in present)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def require_same_origin(request: Request, base_url: str) -> None:
    """Rejects an action unless it comes from this page or from a program with its own token.

    A browser sends the session's cookie with every request. So its request must show that the sending page is Airflow's
    (`Sec-Fetch-Site`, else `Origin`), and its body must be JSON, which a form of another site cannot send.

    Parameters:
        base_url: Airflow's own address, as browsers know it (a proxy may hide it from the request).

    Raises:
        HTTPException: 403 or 415.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "Actions are sent as JSON")
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        mine = site == "same-origin"
    elif origin is not None:
        own = {_origin(base_url), _origin(str(request.base_url))}
        mine = _origin(origin) in own
    else:
        mine = request.headers.get("authorization", "").lower().startswith("bearer ")
    if not mine:
        raise HTTPException(403, "This action does not come from Airflow's own page")


def _origin(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.scheme, parts.netloc.lower()
