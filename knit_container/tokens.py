"""Newer delegation tokens for a container that outlives its own: `knit tokens push` puts them on HDFS. Standard library only.

A container gets its tokens when it starts, in the file that HADOOP_TOKEN_FILE_LOCATION names. `refresh_tokens` reads
`apps/<app id>/tokens` by the present token and puts newer ones into that file, which programs read when they start, and
`knit_container.hdfs` for each request. After the present token has ended this is not possible any more, so `keep_tokens` does it
in time.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knit_container.credentials import BadCredentials, Token, credentials_file, secrets_in, tokens_in
from knit_container.hdfs import TOKEN_KINDS, HdfsFault, read

FILE = "tokens"
_LIMIT = 1 << 20  # bytes; a token has some hundred
_WEEK = 7 * 86400.0  # seconds: the usual maximum life
#: Of a token's maximum life: the age from which on newer ones are looked for (6 h of seven days), and the pause (1 h).
#: YARN renews the tokens of a launch until the end of this life; pushed ones end a day after their issue, by default.
_FIRST_LOOK, _PAUSE = 1 / 28, 1 / 168
_MIN_PAUSE, _MAX_PAUSE = 10.0, 3600.0  # seconds


def refresh_tokens() -> bool:
    """Put newer delegation tokens, if there are any, into the file that HADOOP_TOKEN_FILE_LOCATION names.

    Returns:
        True when the file was changed. False outside of Knit's containers and on clusters without Kerberos.

    Raises:
        HdfsFault: HDFS refuses, also because the present token has ended, or does not answer; or a file is damaged.
    """
    location = os.environ.get("HADOOP_TOKEN_FILE_LOCATION", "")
    if not location or not os.environ.get("KNIT_MASTER_FILE"):
        return False
    own, present = _own(location)
    if not _of_hdfs(present):
        return False
    content = read(FILE, _LIMIT)
    if content is None:
        return False
    try:
        merged = newest(present, tokens_in(content))
    except BadCredentials as error:
        raise HdfsFault(f"the file {FILE} in the application's folder on HDFS is not usable: {error}") from None
    if merged is None:
        return False
    _replace(Path(location), credentials_file(merged, secrets_in(own)))
    return True


def keep_tokens() -> None:
    """Call `refresh_tokens` in time, in a thread of this process; a second call has no effect.

    Without effect outside of Knit's containers and on clusters without Kerberos.
    """
    global _keeper
    with _lock:
        if _keeper is None and container_tokens():
            _keeper = threading.Thread(target=keep, name="knit-tokens", daemon=True)
            _keeper.start()


_keeper: threading.Thread | None = None
_lock = threading.Lock()


def keep(clock: Any = time) -> None:
    """Refresh the tokens in time, without end. Each new problem is printed once."""
    problem = ""
    while True:
        clock.sleep(pause(container_tokens(), clock.time()) * random.uniform(0.8, 1.0))  # not all containers at once
        try:
            if refresh_tokens():
                print("knit: newer delegation tokens are in use", file=sys.stderr, flush=True)
            latest = ""
        except (HdfsFault, OSError) as error:
            latest = f"knit: newer delegation tokens cannot be read: {error}"
        if latest and latest != problem:
            print(latest, file=sys.stderr, flush=True)
        problem = latest


def pause(tokens: Mapping[str, Token], now: float) -> float:
    """Seconds until newer tokens are looked for.

    Args:
        tokens: the present ones.
        now: seconds since the epoch.
    """
    times = [(token.issued, token.ends) for token in _of_hdfs(tokens)]
    known = [(issued / 1000, (ends - issued) / 1000) for issued, ends in times if issued and ends]
    issued, life = max(known, default=(0.0, _WEEK))
    return max(issued + life * _FIRST_LOOK - now, min(max(life * _PAUSE, _MIN_PAUSE), _MAX_PAUSE))


def newest(present: Mapping[str, Token], given: Mapping[str, Token]) -> dict[str, Token] | None:
    """The present tokens, replaced by those of the same kind and service that were issued later; None when there are none."""
    merged = dict(present)
    for alias, token in given.items():
        same = {a: t for a, t in merged.items() if (t.kind, t.service) == (token.kind, token.service)}
        if any(
            t.encode() == token.encode()
            or (t.issued is not None and token.issued is not None and t.issued > token.issued)
            for t in same.values()
        ):
            continue
        for each in same:
            del merged[each]
        merged[alias] = token
    return None if _texts(merged) == _texts(present) else merged


def container_tokens() -> dict[str, Token]:
    """This container's tokens by alias; empty outside of Knit's containers and on clusters without Kerberos."""
    with contextlib.suppress(HdfsFault):
        location = os.environ.get("HADOOP_TOKEN_FILE_LOCATION", "")
        found = _own(location)[1] if location and os.environ.get("KNIT_MASTER_FILE") else {}
        return found if _of_hdfs(found) else {}
    return {}


def _texts(tokens: Mapping[str, Token]) -> dict[str, str]:
    return {alias: token.encode() for alias, token in tokens.items()}


def _of_hdfs(tokens: Mapping[str, Token]) -> list[Token]:
    return [token for token in tokens.values() if token.kind in TOKEN_KINDS]


def _own(location: str) -> tuple[bytes, dict[str, Token]]:
    try:
        content = Path(location).read_bytes()
        return content, tokens_in(content)
    except (OSError, BadCredentials) as error:
        raise HdfsFault(f"the tokens of this container cannot be read from {location}: {error}") from None


def _replace(path: Path, content: bytes) -> None:
    """Replace the file atomically; only its owner can read it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise HdfsFault(f"newer delegation tokens cannot be written to {path}: {error.strerror}") from None
