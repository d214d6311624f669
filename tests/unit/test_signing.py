"""Signatures by the vectors that the ApplicationMaster is tested with too, and replies that somebody changed."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knit_container.signing import (
    BadReply,
    container_token,
    encode_body,
    open_reply,
    query_string,
    request_text,
    sign,
)

_file = Path(__file__).parents[2] / "java/src/test/resources/signature-vectors.json"
VECTORS: dict[str, Any] = json.loads(_file.read_text())
KEY, NONCE = bytes(range(32)), "00112233445566778899aabbccddeeff"


def _named(kind: str) -> Any:
    return pytest.mark.parametrize("vector", [pytest.param(v, id=v.get("name", kind)) for v in VECTORS[kind]])


@_named("tokens")
def test_a_containers_token(vector: dict[str, str]) -> None:
    assert container_token(bytes.fromhex(vector["secret"]), vector["container"]).hex() == vector["token"]


@_named("requests")
def test_requests(vector: dict[str, Any]) -> None:
    query, body, key = vector["query"], vector["body"].encode(), bytes.fromhex(vector["key"])
    assert request_text(vector["method"], vector["path"], {**query, "ksig": "x"}, body).decode() == vector["text"]
    own = {name: value for name, value in query.items() if name not in {"kid", "kattempt", "ktime", "knonce"}}
    signed = sign(
        key,
        query["kid"],
        int(query["kattempt"]),
        vector["method"],
        vector["path"],
        own,
        body,
        now_ms=int(query["ktime"]),
        nonce=query["knonce"],
    )
    assert signed == {**query, "ksig": vector["signature"]}


@_named("replies")
def test_replies(vector: dict[str, Any]) -> None:
    key, body = bytes.fromhex(vector["key"]), vector["body"].encode()
    assert open_reply(key, vector["nonce"], vector["status"], body) == json.loads(vector["reply"])
    for changed in (
        (b"another key", vector["nonce"], vector["status"], body),
        (key, "f" * 32, vector["status"], body),
        (key, vector["nonce"], vector["status"] + 1, body),
    ):
        with pytest.raises(BadReply, match="signature is wrong"):
            open_reply(*changed)


def test_no_byte_of_a_reply_can_be_changed() -> None:
    vector = VECTORS["replies"][0]
    body = vector["body"].encode()
    for at in range(len(body)):
        for flip in (1, 0x20, 0x80):
            damaged = body[:at] + bytes([body[at] ^ flip]) + body[at + 1 :]
            with pytest.raises(BadReply):
                open_reply(bytes.fromhex(vector["key"]), vector["nonce"], vector["status"], damaged)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not the ApplicationMaster's answer"),
        (b"<html>login</html>", "not the ApplicationMaster's answer"),
        (b'{"signature":"ab"}', "not the ApplicationMaster's answer"),
        (b'{"signature":"ab', "not the ApplicationMaster's answer"),
        (b'{"signature":"","reply":{"error":"unauthorized","message":"who?"}}', "unsigned answer: who?"),
        (b'{"signature":"","reply":{}}', "unsigned answer"),
        (b'{"signature":"","reply":nothing}', "not JSON"),
        (b'{"signature":"' + b"0" * 64 + b'","reply":{}}', "signature is wrong"),
    ],
)
def test_what_is_no_signed_reply(raw: bytes, says: str) -> None:
    with pytest.raises(BadReply, match=says):
        open_reply(KEY, NONCE, 200, raw)


def test_nonces_are_never_repeated() -> None:
    nonces = {sign(KEY, "client", 1, "GET", "/api/v1/application")["knonce"] for _ in range(200)}
    assert len(nonces) == 200
    assert all(len(nonce) == 32 and set(nonce) <= set("0123456789abcdef") for nonce in nonces)


@pytest.mark.parametrize(("path", "query"), [("/api/v1/a b", {}), ("/api", {"a": "b c"}), ("/api", {"a/": "b"})])
def test_what_the_proxy_would_change_is_refused(path: str, query: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="would not survive the ResourceManager's proxy"):
        sign(KEY, "client", 1, "GET", path, query)


def test_bodies_and_queries_are_one_line_of_ascii() -> None:
    assert encode_body({"a": "é\n", "b": [1, None]}) == b'{"a":"\\u00e9\\n","b":[1,null]}'
    with pytest.raises(ValueError, match="Out of range float"):
        encode_body(float("nan"))
    with pytest.raises(TypeError):
        encode_body({1, 2})
    assert query_string({"b": "x~y", "a": "1"}) == "a=1&b=x~y"


_words = st.from_regex(r"[A-Za-z0-9._~-]{1,8}", fullmatch=True)
_requests = st.tuples(
    st.sampled_from(["GET", "PUT", "POST", "DELETE"]),
    st.lists(_words, max_size=3).map(lambda parts: "/api/v1/" + "/".join(parts)),
    st.dictionaries(_words.filter(lambda name: not name.startswith("k")), _words, max_size=3),
    st.binary(max_size=20),
    st.sampled_from(["client", "container_1_0001_01_000002"]),
    st.integers(1, 3),
)


def _signature(key: bytes, request: Any) -> str:
    method, path, query, body, signer, attempt = request
    return sign(key, signer, attempt, method, path, query, body, now_ms=5, nonce=NONCE)["ksig"]


@given(_requests, _requests)
def test_only_equal_requests_have_equal_signatures(one: Any, other: Any) -> None:
    """No part can be moved into another one: what differs anywhere is signed otherwise."""
    assert (_signature(KEY, one) == _signature(KEY, other)) is (one == other)
    assert _signature(KEY, one) != _signature(container_token(KEY, one[4]), one)


def _reply(content: Any, status: int) -> bytes:
    body = encode_body(content)
    text = "\n".join(("knit-reply-1", NONCE, str(status), hashlib.sha256(body).hexdigest()))
    signature = hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest().encode()
    return b'{"signature":"' + signature + b'","reply":' + body + b"}"


@pytest.mark.long
@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
       st.data())  # fmt: skip
def test_a_reply_that_was_changed_anywhere_is_refused(content: Any, data: st.DataObject) -> None:
    raw = _reply(content, 200)
    assert open_reply(KEY, NONCE, 200, raw) == content
    place = data.draw(st.integers(0, len(raw) - 1))
    byte = data.draw(st.integers(33, 255).filter(lambda value: value != raw[place]))
    kinds = [
        raw[:place] + bytes([byte]) + raw[place + 1 :],
        raw[:place] + raw[place + 1 :],
        raw[: place + 1] + raw[place:],
    ]
    changed = data.draw(st.sampled_from(kinds))
    if changed.strip() != raw:
        with pytest.raises(BadReply):
            open_reply(KEY, NONCE, 200, changed)
    with pytest.raises(BadReply):
        open_reply(KEY, NONCE, 201, raw)


@given(st.binary() | st.binary().map(lambda noise: _reply(1, 200)[:78] + noise + b"}"))
def test_noise_is_no_reply(noise: bytes) -> None:
    with pytest.raises(BadReply):
        open_reply(KEY, NONCE, 200, noise)
