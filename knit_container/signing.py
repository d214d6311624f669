"""Signatures of requests to the ApplicationMaster and of its replies (docs/protocol.md, section 4). Pure, standard
library only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from urllib.parse import quote

_SAFE = re.compile(r"[A-Za-z0-9._~-]*")
_PREFIX, _MIDDLE = b'{"signature":"', b'","reply":'


class BadReply(Exception):
    """The reply is not from the ApplicationMaster: it has no envelope, or a wrong signature."""


def container_token(secret: bytes, container_id: str) -> bytes:
    """The key with which a container signs."""
    return hmac.new(secret, b"container:" + container_id.encode(), hashlib.sha256).digest()


def encode_body(value: object) -> bytes:
    """One line of ASCII JSON, which the ResourceManager's proxy does not change."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def request_text(method: str, path: str, query: dict[str, str], body: bytes) -> bytes:
    """The signed text of a request."""
    line = "&".join(f"{name}={query[name]}" for name in sorted(query) if name != "ksig")
    digest = hashlib.sha256(body).hexdigest()
    return "\n".join(("knit-request-1", method, path, line, digest)).encode()


def sign(
    key: bytes,
    signer: str,
    attempt: int,
    method: str,
    path: str,
    query: dict[str, str] | None = None,
    body: bytes = b"",
    *,
    now_ms: int | None = None,
    nonce: str | None = None,
) -> dict[str, str]:
    """The complete query of one request: the caller's parameters and the signature's.

    Args:
        key: the application's secret, or a container's token.
        signer: "client" or the container's id.
        attempt: of the ApplicationMaster to which the request is sent.
        method, path, query, body: the request; path from `/api` on.
        now_ms, nonce: for tests.

    Raises:
        ValueError: a parameter or path segment has characters that the proxy would change.
    """
    complete = {
        **(query or {}),
        "kid": signer,
        "kattempt": str(attempt),
        "ktime": str(int(time.time() * 1000) if now_ms is None else now_ms),
        "knonce": nonce or secrets.token_hex(16),
    }
    for value in (*complete, *complete.values(), *path.split("/")):
        if not _SAFE.fullmatch(value):
            raise ValueError(f"{value!r} would not survive the ResourceManager's proxy unchanged: encode it first")
    complete["ksig"] = hmac.new(key, request_text(method, path, complete, body), hashlib.sha256).hexdigest()
    return complete


def query_string(query: dict[str, str]) -> str:
    """The query as part of a URL."""
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items()))


def open_reply(key: bytes, nonce: str, status: int, raw: bytes) -> object:
    """The JSON in a reply's envelope, after its signature was checked.

    Raises:
        BadReply: no envelope (such as a proxy's error page), or not signed with `key` for this request and status.
    """
    raw = raw.strip()
    start = len(_PREFIX)
    if not raw.startswith(_PREFIX) or not raw.endswith(b"}"):
        raise BadReply("not the ApplicationMaster's answer")
    end = raw.find(b'"', start)
    signature, rest = raw[start:end], raw[end:]
    if not rest.startswith(_MIDDLE):
        raise BadReply("not the ApplicationMaster's answer")
    reply = rest[len(_MIDDLE) : -1]
    text = "\n".join(("knit-reply-1", nonce, str(status), hashlib.sha256(reply).hexdigest()))
    expected = hmac.new(key, text.encode(), hashlib.sha256).hexdigest().encode()
    if signature and not hmac.compare_digest(signature, expected):
        raise BadReply("the answer's signature is wrong")
    try:
        content: object = json.loads(reply)
    except (ValueError, RecursionError):
        raise BadReply("the answer is not JSON") from None
    if not signature:
        message = content.get("message", "") if isinstance(content, dict) else ""
        raise BadReply(f"unsigned answer: {message}" if message else "unsigned answer")
    return content
