"""Reads the secret keys of Hadoop's credentials file (`HADOOP_TOKEN_FILE_LOCATION`). Standard library only.

Format: org.apache.hadoop.security.Credentials, "HDTS", a version byte (0: Writable), then two counted lists, tokens
and secret keys, with WritableUtils' variable-length integers. YARN writes version 0; version 1 (protobuf) is
written only on request.
"""

from __future__ import annotations

import io
import struct


class BadCredentials(ValueError):
    """The file is not a credentials file of version 0."""


def secrets_in(data: bytes) -> dict[str, bytes]:
    """Secret keys by alias."""
    stream = io.BytesIO(data)
    if stream.read(4) != b"HDTS":
        raise BadCredentials("not a Hadoop credentials file")
    if stream.read(1) != b"\0":
        raise BadCredentials("not a credentials file of version 0")
    for _ in range(_vlong(stream)):
        _block(stream)  # alias
        for _field in range(4):  # identifier, password, kind, service
            _block(stream)
    return {_block(stream).decode(): _block(stream) for _ in range(_vlong(stream))}


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
