"""The layers of a connection to a cluster, in the order in which `knit doctor` checks them, and the result of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from knit_core.model.representation import shown

RESOURCEMANAGER, HDFS = "ResourceManager", "HDFS"


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        name: as in `LayerCheck.layer`.
        advice: what to do when it fails and the fault has no remedy of its own.
        per_server: it is checked for the ResourceManager, and later for HDFS.
        launched: its check needs an application.
    """

    name: str
    advice: str
    per_server: bool = False
    launched: bool = False


CONFIGURATION = Layer(
    "configuration", "docs/configuration.md lists all settings and the places where they are looked for"
)
DNS = Layer("DNS", "check the host name, or whether a VPN or gateway is needed", per_server=True)
TCP = Layer("TCP", "is it running there, is this its web port, is a firewall between?", per_server=True)
TLS = Layer("TLS", "check http/https in the address, and the trusted certificates (ca, KNIT_CA)", per_server=True)
HTTP = Layer("HTTP", "is this the web port, is a proxy or a gateway between?", per_server=True)
SERVER = Layer(
    "who answers", "give the address of the server's web port (ResourceManager 8088, NameNode 9870)", per_server=True
)
AUTHENTICATION = Layer(
    "authentication",
    "which kind does the cluster want: simple, Kerberos, or basic at a gateway (auth)?",
    per_server=True,
)
USER = Layer("user", "set user (KNIT_USER), or authenticate as that user")
FILESYSTEM = Layer("HDFS", "ask for a home folder on HDFS, or set staging (KNIT_STAGING) to a folder of your own")
TOKENS = Layer("tokens", "docs/kerberos.md tells which services give tokens, and to whom")
QUEUE = Layer("queue", "set queue (KNIT_QUEUE) to one that accepts your applications")
NODES = Layer(
    "nodes", "an administrator must start NodeManagers, or look at the health reports of those that are not running"
)
APPLICATION = Layer("application", "knit why and knit logs -c master tell more about the application", launched=True)
LOGS = Layer(
    "logs", "this machine must reach the NodeManagers' web ports, or log aggregation must be on", launched=True
)
FUNCTION = Layer("function", "its containers must reach HDFS's web addresses (container_namenode)", launched=True)

OF_SERVER = (DNS, TCP, TLS, HTTP, SERVER, AUTHENTICATION)
LAYERS = (CONFIGURATION, *OF_SERVER, USER, FILESYSTEM, TOKENS, QUEUE, NODES, APPLICATION, LOGS, FUNCTION)
#: The order of the checks: each layer with its server ("ResourceManager", "HDFS", or empty).
ORDER: tuple[tuple[Layer, str], ...] = (
    (CONFIGURATION, ""),
    *((layer, RESOURCEMANAGER) for layer in OF_SERVER),
    (CONFIGURATION, HDFS),
    *((layer, HDFS) for layer in OF_SERVER),
    *((layer, "") for layer in LAYERS[LAYERS.index(USER) :]),
)


@shown
@dataclass(frozen=True)
class LayerCheck:
    """The result of the check of one layer of the connection to a cluster.

    Attributes:
        layer: "configuration", "DNS", "TCP", "TLS", "HTTP", "who answers", "authentication", "user", "HDFS", "tokens",
            "queue", "nodes", "application", "logs" or "function".
        server: "ResourceManager" or "HDFS" for the layers that are checked for each of them; else empty.
        ok: True: it works. False: it does not, and nothing after it was checked. None: it was not checked, or does not apply;
            `text` has the reason.
        text: what was found.
        remedy: what to do; also for a layer that works, when something is worth a change. Empty: nothing.
        seconds: the time that the check took.
        details: further lines: settings, other addresses of the same server.
        error: class of the error (`knit_core.errors`) when `ok` is False.
    """

    layer: str
    ok: bool | None
    text: str
    server: str = ""
    remedy: str = ""
    seconds: float = 0.0
    details: tuple[str, ...] = ()
    error: str = ""

    @property
    def label(self) -> str:
        """Server and layer: "ResourceManager DNS"."""
        return f"{self.server} {self.layer}".strip()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "layer": self.layer,
            "server": self.server,
            "ok": self.ok,
            "text": self.text,
            "remedy": self.remedy,
            "seconds": round(self.seconds, 3),
            "details": list(self.details),
            "error": self.error,
        }

    def __str__(self) -> str:
        return f"{self.label}: {self.text}" + (f": {self.remedy}" if self.remedy else "")


NOT_CHECKED = "not checked"


def not_checked(seen: Iterable[LayerCheck], text: str = NOT_CHECKED) -> Iterator[LayerCheck]:
    """A result for each layer that has none yet, in their order.

    Args:
        seen: the results so far.
        text: the reason.
    """
    there = {(check.layer, check.server) for check in seen}
    for layer, server in ORDER:
        if (layer.name, server) not in there:
            yield LayerCheck(layer.name, None, text, server)


def failed(layer: Layer, error: Exception, server: str = "", *, remedy: str = "", seconds: float = 0.0) -> LayerCheck:
    """The result for an error; its remedy is the given one, else that of the error's own text, else the layer's advice."""
    text = " ".join(str(error).split()) if "\n" not in str(error).strip() else str(error).strip()
    first, mark, rest = text.partition(
        "); "
    )  # "no answer from the ResourceManager at … (connection refused); is it running"
    if not remedy and mark and "no answer from" in first:
        text, remedy = f"{first})", rest
    return LayerCheck(
        layer.name, False, text, server, remedy.rstrip(".") or layer.advice, seconds, error=type(error).__name__
    )


__all__ = ["LAYERS", "ORDER", "Layer", "LayerCheck", "failed", "not_checked"]
