"""Reads byte streams in pieces: exact amounts, ranges of a file, decompression; all in bounded memory. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

from knit_core.errors import LogsUnavailable

Fetch = Callable[[int, int], Iterator[bytes]]  # offset, length -> bytes in pieces

PIECE = 1 << 18  # maximum bytes of a piece
_LARGEST_ITEM = 1 << 20  # bytes of a name, a key or a number's text; a larger one means a damaged file
_GAP = 1 << 20  # a gap of up to this many bytes is read and dropped; a larger one needs a new request
_END = 1 << 16  # bytes at the end of a file that are kept


@contextmanager
def damage() -> Iterator[None]:
    """Convert errors from damaged bytes to LogsUnavailable. Each function that reads values needs it."""
    try:
        yield
    except (EOFError, ValueError) as error:
        raise LogsUnavailable(f"the file is damaged: {error}", reason="damaged") from None
    except (KeyError, struct.error, zlib.error) as error:
        raise LogsUnavailable(f"the file is damaged: {error!r}", reason="damaged") from None


class Stream:
    """Reads exact amounts from an iterator of byte pieces.

    Attributes:
        position: bytes read so far.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._buffer, self._at = pieces, b"", 0
        self._before = 0  # bytes of the pieces before this one

    @property
    def position(self) -> int:
        return self._before + self._at

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes, for small values.

        Raises:
            EOFError: fewer are left.
            ValueError: `count` is too large for a valid file.
        """
        if not 0 <= count <= _LARGEST_ITEM:
            raise ValueError(f"a length in it is {count}")
        end = self._at + count
        if end <= len(self._buffer):
            found = self._buffer[self._at : end]
            self._at = end
            return found
        return b"".join(self.pieces(count))

    def pieces(self, count: int) -> Iterator[bytes]:
        """Exactly `count` bytes, in pieces.

        Raises:
            EOFError: fewer are left.
        """
        while count > 0:
            if self.at_end():
                raise EOFError("it is truncated")
            found = self._buffer[self._at : self._at + min(count, PIECE)]
            self._at += len(found)
            count -= len(found)
            yield found

    def at_end(self) -> bool:
        """Whether the end is reached."""
        while self._at == len(self._buffer):
            piece = next(self._pieces, None)
            if piece is None:
                return True
            self._before += len(self._buffer)
            self._buffer, self._at = piece, 0
        return False

    def vlong(self) -> int:
        """TFile's variable-length integer."""
        first: int = struct.unpack("b", self.read(1))[0]
        if first >= -32:
            return first
        kind = (first + 128) // 8
        if kind >= 7:
            return ((first + 52) << 8) | self.read(1)[0]
        if kind >= 3:
            return ((first + 88) << 16) | int.from_bytes(self.read(2), "big")
        if kind >= 1:
            return ((first + 112) << 24) | int.from_bytes(self.read(3), "big")
        return int.from_bytes(self.read(first + 129), "big", signed=True)

    def string(self) -> str:
        """A string: its length, then UTF-8."""
        length = self.vlong()
        return "" if length < 0 else self.read(length).decode()

    def utf(self) -> str:
        """Java's writeUTF (equal to UTF-8 for the strings here)."""
        return self.read(struct.unpack(">H", self.read(2))[0]).decode("utf-8", "replace")


def without(pieces: Iterator[bytes], skip: int) -> Iterator[bytes]:
    """The stream without its first `skip` bytes."""
    for piece in pieces:
        if skip < len(piece):
            yield piece[skip:] if skip else piece
        skip = max(0, skip - len(piece))


def unpacked(algorithm: str, packed: Iterator[bytes]) -> Iterator[bytes]:
    """The decompressed stream; `algorithm` is Hadoop's name, `none` or `gz`.

    Raises:
        LogsUnavailable: another algorithm, or the stream is damaged.
    """
    if algorithm == "none":
        yield from packed
        return
    if algorithm != "gz":
        raise LogsUnavailable(
            f"it is compressed with {algorithm[:40]}; only none and gz can be read", reason="compression"
        )
    machine = zlib.decompressobj(47)  # zlib or gzip, by its header
    with damage():
        for piece in packed:
            while piece and not machine.eof:
                yield machine.decompress(piece, PIECE)  # a few bytes may decompress to very many: limit each piece
                piece = machine.unconsumed_tail
        while rest := machine.decompress(b"", PIECE):
            yield rest
        if not machine.eof:
            raise EOFError("its compressed data is truncated")


class Ranges:
    """Reads ranges of one file. Ranges in ascending order are read from one request.

    The end of the file, which contains the index, is read once and kept; of a small file this is the whole.

    Args:
        size: of the file, in bytes.
        fetch: reads a part of it.
    """

    def __init__(self, size: int, fetch: Fetch) -> None:
        self.size, self._fetch = size, fetch
        self._end_at = max(0, size - _END)
        self._end: bytes | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._rest = b""
        self._at = size  # where `_rest` begins in the file

    def pieces(self, start: int, length: int) -> Iterator[bytes]:
        """`length` bytes from `start` on, in pieces; the caller may stop early.

        Raises:
            EOFError: the file is shorter.
        """
        if not 0 <= start <= start + length <= self.size:
            raise EOFError("it has an offset beyond its end")
        end = start + length
        if start < min(end, self._end_at):
            yield from self._streamed(start, min(end, self._end_at))
        if end > self._end_at and length:
            yield self.end()[max(0, start - self._end_at) : end - self._end_at]

    def end(self) -> bytes:
        """The file's last bytes, 64 KiB or all of it.

        Raises:
            EOFError: the file is shorter than its size.
        """
        if self._end is None:
            self._end = b"".join(self._fetch(self._end_at, self.size - self._end_at)) if self.size else b""
        if len(self._end) != self.size - self._end_at:
            raise EOFError("it is shorter than its size")
        return self._end

    def close(self) -> None:
        """End the current request."""
        if isinstance(self._pieces, Generator):
            self._pieces.close()
        self._pieces, self._rest, self._at = iter(()), b"", self.size

    def _streamed(self, start: int, end: int) -> Iterator[bytes]:
        if not self._at <= start <= self._at + len(self._rest) + _GAP:
            self.close()
            self._pieces, self._at = self._fetch(start, self._end_at - start), start
        while start < end:
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    raise EOFError("it is shorter than its size")
                self._rest = piece
            skipped = max(0, min(start - self._at, len(self._rest)))
            found = self._rest[skipped : skipped + end - max(start, self._at)]
            self._rest = self._rest[skipped + len(found) :]
            self._at += skipped + len(found)
            if found:
                start = self._at
                yield found
