"""The proxy for requests to the cluster. Pure.

A proxy is used only when it is configured for Knit: that of the environment (HTTP_PROXY) is mostly for the internet, and
calls to a cluster stay in the local network.
"""

from __future__ import annotations

import importlib.util
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from knit_container.secret import Hidden
from knit_core.errors import ConfigError

SCHEMES = ("http", "https", "socks5", "socks5h", "socks4", "socks4a")
ENVIRONMENT = "environment"  # instead of an address: use HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY


class Proxies:
    """The proxy for each scheme, and the hosts that are reached directly.

    Args:
        http, https: its address for URLs of that scheme, with user and password where it needs them; empty: none.
        without: names of hosts, domains (`.example.org`), addresses and networks (`10.0.0.0/8`); `*`: all hosts.
    """

    __slots__ = ("_http", "_https", "without")

    def __init__(self, http: str = "", https: str = "", without: tuple[str, ...] = ()) -> None:
        self._http, self._https, self.without = Hidden(http), Hidden(https), without

    @property
    def http(self) -> str:
        """The proxy for `http://`."""
        return self._http.reveal()

    @property
    def https(self) -> str:
        """The proxy for `https://`."""
        return self._https.reveal()

    def of(self, url: str) -> str:
        """The proxy's address for a URL; empty: it is reached directly, as all loopback addresses are."""
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").rstrip(".")
        except ValueError:
            return ""
        proxy = self.https if parts.scheme == "https" else self.http
        return "" if not proxy or is_loopback(host) or any(_matches(host, rule) for rule in self.without) else proxy

    def by_scheme(self, url: str) -> dict[str, str]:
        """The proxy for a URL in the form that `requests` takes."""
        proxy = self.of(url)
        return {"http": proxy, "https": proxy} if proxy else {}

    def __repr__(self) -> str:
        return f"Proxies({without_user(self.http)!r}, {without_user(self.https)!r}, {self.without!r})"


def proxies_of(setting: str | None, without: str | None, environ: Mapping[str, str]) -> Proxies:
    """The proxies of the settings `proxy` and `no_proxy`.

    Args:
        setting: a proxy's URL; `environment`; empty: none.
        without: hosts, separated by commas.
        environ: the process's environment.

    Raises:
        ConfigError: the address is not a proxy's, or PySocks is not installed.
    """
    hosts = _split(without)
    if setting != ENVIRONMENT:
        proxy = _checked(setting or "", "proxy")
        return Proxies(proxy, proxy, hosts)

    def variable(name: str) -> str:
        return environ.get(name.lower()) or environ.get(name) or ""

    http, https = (_checked(variable(name) or variable("ALL_PROXY"), name) for name in ("HTTP_PROXY", "HTTPS_PROXY"))
    return Proxies(http, https, (*hosts, *_split(variable("NO_PROXY"))))


def without_user(url: str) -> str:
    """A proxy's address without the user and password in it."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else url.rpartition("@")[2]


def _checked(url: str, name: str) -> str:
    if not url:
        return ""
    url = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in SCHEMES and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(
            f"{name}: {without_user(url)!r} is not a proxy's address: it looks like http://proxy.example.org:3128 or "
            "socks5h://localhost:1080 (with h, the proxy resolves host names)"
        )
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socks") is None:
        raise ConfigError(f'{name}: a SOCKS proxy needs PySocks: pip install "knit-yarn[socks]"')
    return url


def _split(hosts: str | None) -> tuple[str, ...]:
    return tuple(host.strip().lower() for host in (hosts or "").split(",") if host.strip())


def is_loopback(host: str) -> bool:
    """Whether a host name or address always means the machine that uses it."""
    try:
        return host in {"localhost", "localhost.localdomain"} or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _matches(host: str, rule: str) -> bool:
    if rule == "*" or host == rule.lstrip("."):
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return host.endswith(f".{rule.lstrip('*.')}") and bool(rule.strip("*."))


__all__ = ["ENVIRONMENT", "Proxies", "is_loopback", "proxies_of", "without_user"]
