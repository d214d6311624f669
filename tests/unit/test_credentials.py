"""Secret keys and tokens in Hadoop's credentials file, files that are none, and tokens as text."""

from __future__ import annotations

import base64
import struct

import pytest

from knit_container.credentials import BadCredentials, Token, credentials_file, secrets_in, tokens_in

#: Written by Hadoop 3.4.2: the tokens `one` and `two`, and the secret key `knit.token` (9, 9).
FILE = base64.b64decode(
    "SERUUwACA29uZY4BLAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9"
    "Pj9AQUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpbXF1eX2BhYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ent8fX5/gIGCg4SFhoeI"
    "iYqLjI2Oj5CRkpOUlZaXmJmam5ydnp+goaKjpKWmp6ipqqusra6vsLGys7S1tre4ubq7vL2+v8DBwsPExcbHyMnKy8zNzs/Q0dLT"
    "1NXW19jZ2tvc3d7f4OHi4+Tl5ufo6err7O3u7/Dx8vP09fb3+Pn6+/z9/v8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0e"
    "HyAhIiMkJSYnKCkqKxQHBwcHBwcHBwcHBwcHBwcHBwcHBxJXRUJIREZTIGRlbGVnYXRpb24OMTI3LjAuMC4xOjgwMjADdHdvAgEC"
    "FAcHBwcHBwcHBwcHBwcHBwcHBwcHFUhERlNfREVMRUdBVElPTl9UT0tFTgpoYS1oZGZzOm5zAQprbml0LnRva2VuAgkJ"
)
#: Written by this package, read by Hadoop in HadoopDelegationTokensTest.java.
OURS = base64.b64decode(
    "SERUUwACBGhkZnMdAAVhbGljZQR5YXJuAIoBi8/laACKAYvz8ewAAwIQbmV2ZXIgdG8gYmUgc2VlbhVIREZTX0RFTEVHQVRJT05f"
    "VE9LRU4KaGEtaGRmczpucwRoaXZlj8h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
    "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
    "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eBBu"
    "ZXZlciB0byBiZSBzZWVuFUhJVkVfREVMRUdBVElPTl9UT0tFTgABCmtuaXQudG9rZW4gAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAA="
)
#: Written by Hadoop 3.3.6: the token `one` of a ResourceManager.
MANAGERS = base64.b64decode(
    "SERUUwABA29uZRsKBWFsaWNlEgR5YXJuIIDQlf+8MSiA2MefvzEQbmV2ZXIgdG8gYmUgc2VlbhNSTV9ERUxFR0FUSU9OX1RPS0VO"
    "AAELa25pdC5zZWNyZXQBAQ=="
)
NOW, WEEK = 1_700_000_000_000, 7 * 86_400_000
#: The token `two`, as `Token.encodeToUrlString` gives it.
TWO = "AgECFAcHBwcHBwcHBwcHBwcHBwcHBwcHFUhERlNfREVMRUdBVElPTl9UT0tFTgpoYS1oZGZzOm5z"


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


def test_tokens_as_hadoop_writes_them() -> None:
    assert secrets_in(FILE) == {"knit.token": b"\x09\x09"}
    found = tokens_in(FILE)
    assert found["two"].encode() == TWO
    one = found["one"]
    assert (one.identifier, one.kind, one.service) == (
        bytes(i % 256 for i in range(300)), "WEBHDFS delegation", "127.0.0.1:8020",
    )  # fmt: skip
    again = Token.decode(one.renamed("HDFS_DELEGATION_TOKEN", "ha-hdfs:ns").encode())
    assert (again.identifier, again.kind, again.service) == (one.identifier, "HDFS_DELEGATION_TOKEN", "ha-hdfs:ns")
    assert again.renamed(one.kind, one.service).encode() == one.encode()


def test_no_repr_shows_a_token() -> None:
    token = Token.decode(TWO)
    assert repr(token) == "Token('HDFS_DELEGATION_TOKEN', 'ha-hdfs:ns')"
    assert "\\x07" not in repr(token) + repr(getattr(token, "_password", None))


@pytest.mark.parametrize("text", ["", "AgEC", "not base64!", TWO[:-8]])
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(BadCredentials):
        Token.decode(text)


def hdfs_token(issued: int, ends: int | None = None, password: bytes = b"never to be seen") -> Token:
    """As a NameNode issues it."""
    names = b"".join(_number(len(name)) + name for name in (b"alice", b"yarn", b""))
    times = _number(issued) + _number(issued + WEEK if ends is None else ends)
    identifier = b"\0" + names + times + _number(3) + _number(2)
    return Token(identifier, password, "HDFS_DELEGATION_TOKEN", "ha-hdfs:ns")


def test_what_is_written_is_read_here_and_by_hadoop() -> None:
    tokens = {"hdfs": hdfs_token(NOW), "hive": Token(b"x" * 200, b"never to be seen", "HIVE_DELEGATION_TOKEN", "")}
    written = credentials_file(tokens, {"knit.token": bytes(32)})
    assert written == OURS
    read = tokens_in(written)
    assert {alias: token.encode() for alias, token in read.items()} == {
        alias: token.encode() for alias, token in tokens.items()
    }
    assert secrets_in(written) == {"knit.token": bytes(32)}
    assert credentials_file({}) == b"HDTS\0\0\0"
    assert "never" not in repr((tokens, read))


def test_the_times_of_tokens() -> None:
    token = hdfs_token(NOW)
    assert (token.issued, token.ends) == (NOW, NOW + WEEK)
    token = tokens_in(MANAGERS)["one"]
    assert (token.kind, token.issued, token.ends) == ("RM_DELEGATION_TOKEN", NOW, NOW + WEEK)


@pytest.mark.parametrize(
    "identifier",
    [b"", b"\0", b"\0\5alice", b"\x0a\xff\xff\xff", b"\x0a\5alice", b"\xff" * 50, b"\7\1", bytes(30), b"hive"],
)
def test_an_identifier_of_another_form_has_no_times(identifier: bytes) -> None:
    token = Token(identifier, b"", "X", "")
    assert (token.issued, token.ends) == (None, None)
