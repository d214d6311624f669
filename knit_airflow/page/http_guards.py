"""What every request and answer of the page has to have: headers against hostile content, and no action for other sites."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

#: Nothing inline, nothing from elsewhere, framed by Airflow alone.
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
    """ASGI middleware that adds HEADERS to every answer, errors included; `Cache-Control` only where there is none."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message.get("headers", [])}
                added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *(each for each in added if each[0] not in there)]
            await send(message)

        await self._app(scope, receive, sending)


def require_same_origin(request: Request, base_url: str) -> None:
    """Lets an action pass only when it comes from this page, or from a program with a token of its own.

    The session's cookie goes along with whatever a browser sends; so a browser has to say that the page that sends is
    Airflow's (`Sec-Fetch-Site`, else `Origin`), and the body is JSON, which no form of another site can send.

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
