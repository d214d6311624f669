"""Reads and writes Hadoop's credentials file (`HADOOP_TOKEN_FILE_LOCATION`): tokens and secret keys. Standard library only.

Format: org.apache.hadoop.security.Credentials, "HDTS", a version byte (0: Writable), then two counted lists, tokens
and secret keys, with WritableUtils' variable-length integers. YARN writes version 0; version 1 (protobuf) is
written only on request.

The times in a token's identifier: org.apache.hadoop.security.token.delegation.AbstractDelegationTokenIdentifier, and for the
ResourceManager's tokens YARNDelegationTokenIdentifierProto.
"""

from __future__ import annotations

import base64
import binascii
import io
import struct
from collections.abc import Mapping

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
        return base64.urlsafe_b64encode(self._bytes()).decode().rstrip("=")

    def _bytes(self) -> bytes:
        return b"".join(
            map(_block_of, (self.identifier, self._password.reveal(), self.kind.encode(), self.service.encode()))
        )

    @property
    def issued(self) -> int | None:
        """When it was issued, in milliseconds since the epoch; None for an identifier of another form."""
        times = _times(self.identifier)
        return times and times[0]

    @property
    def ends(self) -> int | None:
        """The end of its maximum life, in milliseconds since the epoch; None for an identifier of another form."""
        times = _times(self.identifier)
        return times and times[1]

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


def credentials_file(tokens: Mapping[str, Token], secrets: Mapping[str, bytes] | None = None) -> bytes:
    """The content of a credentials file, which is a secret.

    Args:
        tokens: by alias.
        secrets: secret keys by alias.
    """
    keys = secrets or {}
    parts = [b"HDTS\0", _encoded(len(tokens))]
    parts += [_block_of(alias.encode()) + token._bytes() for alias, token in tokens.items()]
    parts += [_encoded(len(keys))]
    parts += [_block_of(alias.encode()) + _block_of(secret) for alias, secret in keys.items()]
    return b"".join(parts)


def _times(identifier: bytes) -> tuple[int, int] | None:
    """The times of issue and end in a token's identifier."""
    try:
        stream = io.BytesIO(identifier)
        if stream.read(1) == b"\0":
            for _ in range(3):  # owner, renewer, real user
                _block(stream)
            issued, ends = _vlong(stream), _vlong(stream)
        else:
            fields = _protobuf(identifier)
            issued, ends = fields[4], fields[5]
    except (BadCredentials, KeyError, IndexError):
        return None
    return (issued, ends) if 0 < issued < ends else None


def _protobuf(data: bytes) -> dict[int, int]:
    """The integers among the fields of a message of integers and texts."""
    fields: dict[int, int] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            fields[tag >> 3] = varint()
        elif tag & 7 == 2:
            length = varint()
            at += length
        else:
            raise BadCredentials("not an identifier of the ResourceManager")
    return fields


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


def _block_of(data: bytes) -> bytes:
    return _encoded(len(data)) + data


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
