"""Secret keys in Hadoop's credentials file, and files that are none."""

from __future__ import annotations

import struct

import pytest

from knit_container.credentials import BadCredentials, secrets_in


def _number(n: int) -> bytes:
    """WritableUtils.writeVLong for 0 <= n."""
    if n <= 127:
        return struct.pack("b", n)
    size = (n.bit_length() + 7) // 8
    return struct.pack("b", -112 - size) + n.to_bytes(size, "big")


def _block(data: bytes) -> bytes:
    return _number(len(data)) + data


def _file(secrets: dict[str, bytes], tokens: int = 0) -> bytes:
    token = _block(b"alias") + b"".join(_block(field) for field in (b"identifier" * 40, b"password", b"KIND", b""))
    rows = b"".join(_block(name.encode()) + _block(key) for name, key in secrets.items())
    return b"HDTS\0" + _number(tokens) + token * tokens + _number(len(secrets)) + rows


@pytest.mark.parametrize("tokens", [0, 1, 130])
@pytest.mark.parametrize("size", [0, 32, 127, 128, 255, 256, 70_000])
def test_secrets_beside_tokens(tokens: int, size: int) -> None:
    secrets = {"knit.token": b"k" * size, "other": b"o"}
    assert secrets_in(_file(secrets, tokens)) == secrets


def test_every_shorter_file_is_refused() -> None:
    whole = _file({"knit.token": bytes(32)}, 1)
    for length in range(len(whole)):
        with pytest.raises(
            BadCredentials, match=r"truncated|not a Hadoop credentials file|not a credentials file of version 0"
        ):
            secrets_in(whole[:length])


def test_another_version_is_refused() -> None:
    with pytest.raises(BadCredentials, match="not a credentials file of version 0"):
        secrets_in(b"HDTS\1rest")
    with pytest.raises(BadCredentials, match="not a Hadoop credentials file"):
        secrets_in(b"PK\3\4")
