"""The cells of the cluster matrix, pairwise: each value meets each other one but for the pairs that cannot be. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

VALUES = {
    "authentication": ("simple", "kerberos", "kerberos+tls"),
    "servers": ("one", "ha"),
    "way": ("direct", "knox", "httpfs"),
    "hadoop": ("3.3.6", "3.4.2", "3.5.0"),
}
#: Pairs of values that cannot be, with the reason.
IMPOSSIBLE = {("httpfs", "3.5.0"): "Apache published no module hadoop-hdfs-httpfs of 3.5.0."}


@dataclass(frozen=True)
class Cell:
    """One kind of cluster.

    Attributes:
        authentication: simple, kerberos, or kerberos+tls (with SASL between HDFS's clients and DataNodes).
        servers: `one` NameNode and ResourceManager, or two each (`ha`).
        way: how the client reaches it: directly, through Knox with all other ports blocked, or HDFS through HttpFS.
        hadoop: its version.
    """

    authentication: str
    servers: str
    way: str
    hadoop: str

    @property
    def name(self) -> str:
        """For the command line and the table."""
        return "/".join((self.authentication, self.servers, self.way, self.hadoop))

    def values(self) -> tuple[str, ...]:
        """The four values."""
        return (self.authentication, self.servers, self.way, self.hadoop)


CELLS = (
    Cell("simple", "one", "direct", "3.3.6"),
    Cell("simple", "one", "direct", "3.4.2"),
    Cell("simple", "ha", "direct", "3.5.0"),
    Cell("simple", "ha", "knox", "3.4.2"),
    Cell("simple", "one", "httpfs", "3.4.2"),
    Cell("simple", "one", "knox", "3.5.0"),
    Cell("kerberos", "ha", "direct", "3.4.2"),
    Cell("kerberos", "one", "knox", "3.5.0"),
    Cell("kerberos", "ha", "httpfs", "3.3.6"),
    Cell("kerberos+tls", "ha", "direct", "3.5.0"),
    Cell("kerberos+tls", "ha", "direct", "3.4.2"),
    Cell("kerberos+tls", "one", "knox", "3.3.6"),
    Cell("kerberos+tls", "one", "httpfs", "3.4.2"),
    Cell("kerberos+tls", "ha", "knox", "3.4.2"),
)


def missing_pairs(cells: tuple[Cell, ...] = CELLS) -> set[tuple[str, str]]:
    """Pairs of values that no cell has, but for the impossible ones."""
    columns = list(VALUES.values())
    wanted = {(one, other) for first, second in combinations(columns, 2) for one in first for other in second}
    there = {pair for cell in cells for pair in combinations(cell.values(), 2)}
    return wanted - there - set(IMPOSSIBLE)


def find(text: str) -> list[Cell]:
    """The cells that a text names: its name, or some of its values (`kerberos/knox`); empty: all.

    Raises:
        ValueError: a part is no value of the matrix, or no cell has all of them.
    """
    parts = [part for part in text.split("/") if part]
    known = {value for values in VALUES.values() for value in values}
    if unknown := [part for part in parts if part not in known]:
        raise ValueError(f"{unknown[0]!r} is no value of the matrix: {', '.join(sorted(known))}")
    found = [cell for cell in CELLS if set(parts) <= set(cell.values())]
    if not found:
        raise ValueError(f"no cell has {' and '.join(parts)}; cells: {', '.join(cell.name for cell in CELLS)}")
    return found
