"""Combines the parts of one log that rolling aggregation uploaded. Pure.

Rolling aggregation uploads the logs of a container repeatedly while it runs. A log's part in an upload is either the whole
log so far (the file is still on the node), or the content since the NodeManager deleted the file and the program created
it again. The files do not tell which, so the bytes decide: a part that begins with all of the part before replaces it; any
other part is appended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from knit_core.logs.streams import Fetch

ANCHOR = 64  # bytes


class Part(NamedTuple):
    """One log in one upload.

    Attributes:
        container, stream, size: YARN's id of the container, name of the log, bytes.
        open: returns its bytes, given a function that fetches ranges of the file, and the number of bytes to skip.
        path: of the file.
        number: index of the log in the file.
    """

    container: str
    stream: str
    size: int
    open: Callable[[Fetch, int], Iterator[bytes]]
    path: str
    number: int


class Mark(NamedTuple):
    """The size of a part and the digest of its bytes."""

    size: int
    digest: bytes

    @classmethod
    def of(cls, pieces: Iterable[bytes]) -> Mark:
        """The mark of a stream."""
        machine, size = hashlib.blake2b(), 0
        for piece in pieces:
            machine.update(piece)
            size += len(piece)
        return cls(size, machine.digest())

    def begins(self, pieces: Iterable[bytes]) -> tuple[bool, Mark, bytes]:
        """Whether a stream begins with the marked bytes; also the mark of the stream, and its last ANCHOR bytes."""
        machine, size, end = hashlib.blake2b(), 0, b""
        same = self.size == 0
        for piece in pieces:
            if size < self.size <= size + len(piece):
                until = machine.copy()
                until.update(piece[: self.size - size])
                same = until.digest() == self.digest
            machine.update(piece)
            size += len(piece)
            end = (end + piece[-ANCHOR:])[-ANCHOR:]
        return same, Mark(size, machine.digest()), end


@dataclass
class Uploaded:
    """The parts that make up one log.

    Attributes:
        kept: the parts to read, in their order.
        mark: of the last one; None before it is computed.
        seen: (path, number) of all added parts, including replaced ones.
    """

    kept: list[Part] = field(default_factory=list)
    mark: Mark | None = None
    seen: set[tuple[str, int]] = field(default_factory=set)

    @property
    def size(self) -> int:
        """Total bytes."""
        return sum(part.size for part in self.kept)

    def knows(self, part: Part) -> bool:
        """Whether the part was added. YARN deletes the oldest of many files; their parts still count."""
        return (part.path, part.number) in self.seen

    def add(self, part: Part, content: Callable[[Part], Iterator[bytes]]) -> None:
        """Add the next part.

        Args:
            part: the part.
            content: returns a part's bytes; not called for the first part.
        """
        self.seen.add((part.path, part.number))
        if not self.kept:
            self.kept.append(part)
            return
        if self.mark is None:
            self.mark = Mark.of(content(self.kept[-1]))
        same, self.mark, _end = self.mark.begins(content(part))
        if same:
            self.kept[-1] = part
        else:
            self.kept.append(part)
