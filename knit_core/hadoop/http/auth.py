"""The identity of requests. A strategy configures the session once and adds parameters to each request."""

from __future__ import annotations

import re
from typing import Protocol

import requests


class AuthStrategy(Protocol):
    """Adds a user's identity to a session."""

    @property
    def user(self) -> str:
        """The name in messages."""

    def configure(self, session: requests.Session) -> None:
        """Set what all requests of the session share (an `auth` handler, a certificate)."""

    def parameters(self) -> dict[str, str]:
        """Query parameters of each request."""


class SimpleAuth:
    """Hadoop's simple authentication: the server accepts the name in `user.name` without proof."""

    def __init__(self, user: str) -> None:
        self.user = user

    def configure(self, session: requests.Session) -> None:
        """Nothing to set."""

    def parameters(self) -> dict[str, str]:
        """`user.name`."""
        return {"user.name": self.user}

    def __repr__(self) -> str:
        return f"SimpleAuth({self.user!r})"


class ActingFor:
    """Another identity's requests for a user: Hadoop's impersonation (`doas`).

    Args:
        auth: who logs in.
        user: for whom.
    """

    def __init__(self, auth: AuthStrategy, user: str) -> None:
        self.auth, self.user = auth, user

    def configure(self, session: requests.Session) -> None:
        """As the other identity."""
        self.auth.configure(session)

    def parameters(self) -> dict[str, str]:
        """Those of the other identity, and `doas`."""
        return {**self.auth.parameters(), "doas": self.user}

    def __repr__(self) -> str:
        return f"ActingFor({self.auth!r}, {self.user!r})"


def impersonation_hint(message: str) -> str:
    """What a refused impersonation lacks, to be appended to its error; empty for other refusals.

    Args:
        message: of the server (org.apache.hadoop.security.authorize.DefaultImpersonationProvider).
    """
    host = re.search(r"Unauthorized connection for super-user: (\S+) from IP (\S+)", message)
    if host:
        who = short_of(host[1])
        return f"; an administrator must add {host[2]} to hadoop.proxyuser.{who}.hosts in core-site.xml of that service"
    refused = re.search(r"User: (\S+) is not allowed to impersonate (\S+)", message)
    if refused:
        who = short_of(refused[1])
        return (
            f"; an administrator must allow it in core-site.xml of that service: {refused[2]} in hadoop.proxyuser.{who}.users, or "
            f"a group in hadoop.proxyuser.{who}.groups, and this host in hadoop.proxyuser.{who}.hosts"
        )
    return ""


def short_of(principal: str) -> str:
    """The first part of a principal."""
    return principal.partition("@")[0].partition("/")[0]
