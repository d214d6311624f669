"""One log out of the parts in which rolling aggregation uploaded it. Pure.

Rolling aggregation uploads the logs of a container again and again while it runs. What one upload holds of a log is
either the whole log so far (the file is still on the node), or what followed after the NodeManager had deleted the file
and the program made it anew. Which of both nobody wrote down, so the bytes decide: a part that begins with all of the
part before it replaces that, any other goes on after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from knit_core.logs.streams import Fetch

ANCHOR = 64  # bytes


class Part(NamedTuple):
    """One log as one upload brought it.

    Attributes:
        container, stream, size: whose (YARN's id), which and how many bytes.
        open: its bytes but for the first ones, given what fetches ranges of its file, and how many to leave out.
        path: the file.
        number: which of the logs in the file.
    """

    container: str
    stream: str
    size: int
    open: Callable[[Fetch, int], Iterator[bytes]]
    path: str
    number: int


class Mark(NamedTuple):
    """A part by its size and its bytes' digest."""

    size: int
    digest: bytes

    @classmethod
    def of(cls, pieces: Iterable[bytes]) -> Mark:
        """The mark of all that comes."""
        machine, size = hashlib.blake2b(), 0
        for piece in pieces:
            machine.update(piece)
            size += len(piece)
        return cls(size, machine.digest())

    def begins(self, pieces: Iterable[bytes]) -> tuple[bool, Mark, bytes]:
        """Whether what comes begins with the marked bytes; the mark of what comes, and its last bytes (ANCHOR)."""
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
    """The parts of one log, as they make it up.

    Attributes:
        kept: the parts to be read one after the other.
        mark: of the last one; None: not computed yet.
        seen: (path, number) of all parts taken in, those that were replaced too.
    """

    kept: list[Part] = field(default_factory=list)
    mark: Mark | None = None
    seen: set[tuple[str, int]] = field(default_factory=set)

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return sum(part.size for part in self.kept)

    def knows(self, part: Part) -> bool:
        """Whether the part was taken in. YARN deletes the oldest files when there are many; they still count."""
        return (part.path, part.number) in self.seen

    def add(self, part: Part, content: Callable[[Part], Iterator[bytes]]) -> None:
        """Take in the next part.

        Args:
            part: it.
            content: gives a part's bytes; not asked as long as there is only one part.
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
