"""Secrets of a task, masked in the lines that its trigger writes.

A worker's process knows which values Airflow masks in its task's log: what connections and Variables gave it, and what
`mask_secret` was called with. A triggerer has never seen them, and a trigger's arguments are no place for them: Airflow
shows those to everybody who may see the task. So they travel sealed, with a key that only those can compute who can read
the key in the staging folder on HDFS, and that is good for this one application.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from knit_airflow.version_compat import masked_values

if TYPE_CHECKING:
    from knit_core import Application

#: What a hidden value looks like, as everywhere in Airflow.
HIDDEN = "***"
#: Bytes of sealed values that a trigger may carry.
MOST = 1 << 16
#: Values that are shorter are not hidden, as in Airflow: they would turn up in every other line.
SHORTEST = 5
#: Looks after which containers are asked for again at the latest.
_RARELY = 30


def seal(application: Application) -> str | None:
    """What Airflow masks in this task's log, for the trigger; None when it cannot be passed on. Blocks."""
    from cryptography.fernet import Fernet

    values = masked_values()
    if values is None:
        return None
    sealed = Fernet(_key(application)).encrypt(json.dumps(sorted(values)).encode()).decode()
    return sealed if len(sealed) <= MOST else None


def unseal(application: Application, sealed: str) -> Masker:
    """What hides these values in a text. Blocks.

    Raises:
        ValueError: it was not sealed for this application with this staging folder.
    """
    from cryptography.fernet import Fernet, InvalidToken

    try:
        values = json.loads(Fernet(_key(application)).decrypt(sealed.encode()))
    except InvalidToken:
        raise ValueError("what is to be masked was sealed with another key") from None
    return Masker(application, values)


class Masker:
    """Hides values, and Knit's own secrets of the application, in a text.

    Parameters:
        application: which.
        values: the others.
    """

    def __init__(self, application: Application, values: Collection[str]) -> None:
        self._application, self._values = application, set(values)
        self._looks, self._due = 0, 1
        self._hide = masker(self._values)

    def __call__(self, text: str) -> str:
        return self._hide(text)

    def renew(self) -> None:
        """Containers come, and their tokens with them: called before each read of the logs, it asks more and more rarely. Blocks.

        Containers that are replaced after days have tokens of their own, so it asks at least once in `_RARELY` reads.
        """
        from knit_core.errors import KnitError

        self._looks += 1
        if self._looks >= self._due:
            self._due = self._looks + min(self._looks, _RARELY)
            with contextlib.suppress(KnitError):  # between two ApplicationMasters, say
                self._hide = masker({*self._values, *own_secrets(self._application)})


def own_secrets(application: Application) -> set[str]:
    """How the application's secret and its containers' tokens look when a program prints them."""
    secret = _secret(application)
    containers = [each.yarn for each in application.containers(retry_timeout=0) if each.yarn]
    tokens = [hmac.new(secret, f"container:{yarn}".encode(), hashlib.sha256).digest() for yarn in containers]
    return {text for raw in (secret, *tokens) for text in _spellings(raw)}


def masker(values: Collection[str]) -> Callable[[str], str]:
    """A function that hides each of these values in a text; the longest first, so that none hides a part of another."""
    chosen = sorted((each for each in values if len(each) >= SHORTEST), key=len, reverse=True)
    if not chosen:
        return lambda text: text
    pattern = re.compile("|".join(map(re.escape, chosen)))
    return lambda text: pattern.sub(HIDDEN, text)


def _spellings(raw: bytes) -> set[str]:
    coded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    return {raw.hex(), raw.hex().upper(), *coded, *(each.rstrip("=") for each in coded)}


def _secret(application: Application) -> bytes:
    return application.cluster.user_key.application_secret(application.id)


def _key(application: Application) -> bytes:
    return base64.urlsafe_b64encode(hmac.new(_secret(application), b"airflow: masked values", hashlib.sha256).digest())
