"""Addresses of gateways such as Apache Knox: the paths of services, and where passwords and tokens may be sent. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

#: Knox's services that lead to a ResourceManager, with the path of each below a topology's address.
SERVICES = {"YARNUI": "/yarn", "RESOURCEMANAGER": "/resourcemanager", "YARNUIV2": "/yarnuiv2"}
#: Values of `auth` with a password or token, which only a gateway may get.
WITH_CREDENTIALS = frozenset({"basic", "token"})
_PORTS = {"http": 80, "https": 443}


def topology(url: str) -> str:
    """The address of a gateway's topology (`…/gateway/default`), given that or the address of a service in it."""
    url = url.rstrip("/")
    return next((url.removesuffix(path) for path in SERVICES.values() if url.endswith(path)), url)


def below(url: str, path: str) -> str:
    """An address with a gateway's path appended, unless it has that already.

    Args:
        url: base URL.
        path: starts with `/`; empty: none.
    """
    present = urlsplit(url).path.rstrip("/")
    return url if present == path or present.startswith(f"{path}/") else url + path


def has_path(url: str) -> bool:
    """Whether an address has a path: those of gateways do, those of Hadoop's servers do not."""
    return bool(urlsplit(url).path.strip("/"))


def origin(url: str) -> str:
    """Scheme, host and port of a URL, written in one way; empty when it is not a URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return ""
    return f"{parts.scheme}://{(parts.hostname or '').rstrip('.')}:{port}"


def credential_origins(
    resourcemanagers: Iterable[str], namenodes: Iterable[str], named: Iterable[str]
) -> frozenset[str]:
    """The servers that get the user's password or token: the gateway's, by `origin`.

    Args:
        resourcemanagers: base URLs, from the settings.
        namenodes: base URLs that the setting `namenode` has; none that a cluster's configuration names. They count when they
            have a path, or are on the gateway's host over https: else they are Hadoop's own.
        named: addresses that were given with the password in them.
    """
    gateways = list(resourcemanagers)
    hosts = {urlsplit(url).hostname for url in gateways}

    def counts(url: str) -> bool:
        return has_path(url) or (url.startswith("https:") and urlsplit(url).hostname in hosts)

    found = {origin(url) for url in (*gateways, *named, *filter(counts, namenodes))}
    return frozenset(found - {""})


__all__ = ["SERVICES", "WITH_CREDENTIALS", "below", "credential_origins", "has_path", "origin", "topology"]
