"""Masks a task's secrets in the container logs that its trigger writes.

A worker's process knows the values that Airflow masks in its task's log: secrets of connections and Variables, and arguments of
`mask_secret`. A triggerer does not know them, and Airflow shows a trigger's arguments to all users who may see the task. So the
values are passed encrypted. The key is derived from the user's key in the staging folder on HDFS, for this one application.
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

#: Replaces a hidden value, as everywhere in Airflow.
HIDDEN = "***"
#: Maximum bytes of encrypted values in a trigger's arguments.
MOST = 1 << 16
#: Shorter values are not hidden, as in Airflow: they would match in too many lines.
SHORTEST = 5
#: The containers are requested again after at most so many reads.
_MOST_READS = 30


def seal(application: Application) -> str | None:
    """The values that Airflow masks in this task's log, encrypted for the trigger; None: unknown or too long. Blocks."""
    from cryptography.fernet import Fernet

    values = masked_values()
    if values is None:
        return None
    sealed = Fernet(_key(application)).encrypt(json.dumps(sorted(values)).encode()).decode()
    return sealed if len(sealed) <= MOST else None


def unseal(application: Application, sealed: str) -> Masker:
    """The masker of sealed values. Blocks.

    Raises:
        ValueError: the values were not sealed for this application with this staging folder.
    """
    from cryptography.fernet import Fernet, InvalidToken

    try:
        values = json.loads(Fernet(_key(application)).decrypt(sealed.encode()))
    except InvalidToken:
        raise ValueError("the values to mask were sealed with another key") from None
    return Masker(application, values)


class Masker:
    """Hides values, and Knit's own secrets of the application, in a text.

    Parameters:
        application: its secret and its containers' tokens are hidden.
        values: further values.
    """

    def __init__(self, application: Application, values: Collection[str]) -> None:
        self._application, self._values = application, set(values)
        self._reads, self._due = 0, 1
        self._hide = masker(self._values)

    def __call__(self, text: str) -> str:
        return self._hide(text)

    def renew(self) -> None:
        """Request the containers again, as new ones have new tokens. To be called before each read of the logs. Blocks.

        The interval grows from one read to `_MOST_READS` reads: containers may be replaced even after days.
        """
        from knit_core.errors import KnitError

        self._reads += 1
        if self._reads >= self._due:
            self._due = self._reads + min(self._reads, _MOST_READS)
            with contextlib.suppress(KnitError):  # for example while the ApplicationMaster restarts
                self._hide = masker({*self._values, *own_secrets(self._application)})


def own_secrets(application: Application) -> set[str]:
    """The application's secret and its containers' tokens, in the encodings in which a program may print them."""
    secret = _secret(application)
    containers = [each.yarn for each in application.containers(retry_timeout=0) if each.yarn]
    tokens = [hmac.new(secret, f"container:{yarn}".encode(), hashlib.sha256).digest() for yarn in containers]
    return {text for raw in (secret, *tokens) for text in _encodings(raw)}


def masker(values: Collection[str]) -> Callable[[str], str]:
    """A function that hides these values in a text; longest first, so that no value is replaced inside a longer one."""
    chosen = sorted((each for each in values if len(each) >= SHORTEST), key=len, reverse=True)
    if not chosen:
        return lambda text: text
    pattern = re.compile("|".join(map(re.escape, chosen)))
    return lambda text: pattern.sub(HIDDEN, text)


def _encodings(raw: bytes) -> set[str]:
    coded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    return {raw.hex(), raw.hex().upper(), *coded, *(each.rstrip("=") for each in coded)}


def _secret(application: Application) -> bytes:
    return application.cluster.user_key.application_secret(application.id)


def _key(application: Application) -> bytes:
    return base64.urlsafe_b64encode(hmac.new(_secret(application), b"airflow: masked values", hashlib.sha256).digest())
