"""Reads the secret keys and tokens of Hadoop's credentials file (`HADOOP_TOKEN_FILE_LOCATION`). Standard library only.

Format: org.apache.hadoop.security.Credentials, "HDTS", a version byte (0: Writable), then two counted lists, tokens
and secret keys, with WritableUtils' variable-length integers. YARN writes version 0; version 1 (protobuf) is
written only on request.
"""

from __future__ import annotations

import base64
import binascii
import io
import struct

from knit_container.secret import Hidden


class BadCredentials(ValueError):
    """The file is not a credentials file of version 0, or the text is not a token."""


class Token:
    """A delegation token (org.apache.hadoop.security.token.Token). No repr contains its password.

    Attributes:
        identifier: what it says, in the encoding of its kind.
        kind: `HDFS_DELEGATION_TOKEN`, for example.
        service: the server that it is for: `host:port`, `ha-hdfs:<nameservice>`, or empty.
    """

    __slots__ = ("_password", "identifier", "kind", "service")

    def __init__(self, identifier: bytes, password: bytes, kind: str, service: str) -> None:
        self.identifier, self.kind, self.service = identifier, kind, service
        self._password = Hidden(password)

    @classmethod
    def decode(cls, text: str) -> Token:
        """A token from its text (`Token.encodeToUrlString`).

        Raises:
            BadCredentials: it is not one.
        """
        try:
            stream = io.BytesIO(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        except (binascii.Error, ValueError):
            raise BadCredentials("not a token: its text is not base64") from None
        return cls._read(stream)

    @classmethod
    def _read(cls, stream: io.BytesIO) -> Token:
        identifier, password, kind, service = (_block(stream) for _ in range(4))
        return cls(identifier, password, kind.decode(errors="replace"), service.decode(errors="replace"))

    def encode(self) -> str:
        """Its text, which is a secret: URLs, the submission and Hadoop's tools take it."""
        fields = (self.identifier, self._password.reveal(), self.kind.encode(), self.service.encode())
        data = b"".join(_encoded(len(field)) + field for field in fields)
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    def renamed(self, kind: str, service: str) -> Token:
        """The same token under another kind and service; its password does not depend on them."""
        return Token(self.identifier, self._password.reveal(), kind, service)

    def __repr__(self) -> str:
        return f"Token({self.kind!r}, {self.service!r})"


def secrets_in(data: bytes) -> dict[str, bytes]:
    """Secret keys by alias."""
    return _contents(data)[1]


def tokens_in(data: bytes) -> dict[str, Token]:
    """Tokens by alias."""
    return _contents(data)[0]


def _contents(data: bytes) -> tuple[dict[str, Token], dict[str, bytes]]:
    stream = io.BytesIO(data)
    if stream.read(4) != b"HDTS":
        raise BadCredentials("not a Hadoop credentials file")
    if stream.read(1) != b"\0":
        raise BadCredentials("not a credentials file of version 0")
    tokens = {_block(stream).decode(errors="replace"): Token._read(stream) for _ in range(_vlong(stream))}
    return tokens, {_block(stream).decode(): _block(stream) for _ in range(_vlong(stream))}


def _block(stream: io.BytesIO) -> bytes:
    length = _vlong(stream)
    data = stream.read(length)
    if length < 0 or len(data) != length:
        raise BadCredentials("the credentials file is truncated")
    return data


def _vlong(stream: io.BytesIO) -> int:
    """WritableUtils.readVLong."""
    head = stream.read(1)
    if not head:
        raise BadCredentials("the credentials file is truncated")
    first = struct.unpack("b", head)[0]
    if first >= -112:
        return int(first)
    negative = first < -120
    count = -(first + 120) if negative else -(first + 112)
    value = int.from_bytes(stream.read(count), "big")
    return ~value if negative else value


def _encoded(number: int) -> bytes:
    """WritableUtils.writeVLong of a number that is not negative."""
    if number <= 127:
        return struct.pack("b", number)
    size = (number.bit_length() + 7) // 8
    return struct.pack("b", -112 - size) + number.to_bytes(size, "big")
