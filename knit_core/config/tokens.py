"""A gateway's token: read from its file, again when that changes, and what a JWT says about itself."""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from knit_container.secret import Hidden
from knit_core.config.values import Value
from knit_core.errors import ConfigError

_NAMES = ("token", "token_file")
_TOKEN = re.compile(r"[!-~]{8,65536}")  # what a header may have; no spaces
FROM_TOKEN = "the gateway's token"


class Token:
    """The token of a setting, or of a file, which something else may replace while it is used. Thread-safe.

    Args:
        settings: with `token` or `token_file`.
    """

    def __init__(self, settings: MutableMapping[str, Value]) -> None:
        name = next(name for name in _NAMES if name in settings)
        given = settings[name]
        self.source = f"{name}, from {given.source}" if given.source != f"KNIT_{name.upper()}" else given.source
        self._path = Path(given.value) if name == "token_file" else None
        self._held = Hidden("" if self._path else _checked(given.value, f"token ({given.source})"))
        self._read: tuple[int, ...] = ()
        self._lock = threading.Lock()

    @property
    def value(self) -> str:
        """The present token. One that was read stays while the file is missing or incomplete.

        Raises:
            ConfigError: the file cannot be read, or holds no token.
        """
        if self._path is None:
            return self._held.reveal()
        with self._lock:
            try:
                self._refresh(self._path)
            except ConfigError:
                if not self._held.reveal():
                    raise
            return self._held.reveal()

    def _refresh(self, path: Path) -> None:
        where = f"token_file {path} ({self.source})"
        try:
            state = path.stat()
            version = (state.st_mtime_ns, state.st_size, state.st_ino)
            if version == self._read:
                return
            text = path.read_text(encoding="ascii")
        except OSError as error:
            raise ConfigError(f"{where} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{where} holds no token") from None
        self._held = Hidden(_checked(text, where))
        self._read = version

    def __repr__(self) -> str:
        return f"Token({self.source!r})"


def check_token(settings: MutableMapping[str, Value], implicit_users: tuple[str, ...]) -> None:
    """Check the settings of a token, and take the user from it unless one is set.

    Args:
        settings: all settings; changed.
        implicit_users: sources of `user` that the token's user overrides.

    Raises:
        ConfigError: there is no token, or two, or it cannot be read.
    """
    given = [name for name in _NAMES if name in settings]
    if len(given) > 1:
        raise ConfigError(
            f"token ({settings['token'].source}) and token_file ({settings['token_file'].source}) are both set: remove one"
        )
    if "token_file" in settings:
        file = settings["token_file"]
        settings["token_file"] = Value(str(Path(file.value).expanduser()), file.source)
    if not given:
        return
    subject = claims(Token(settings).value).get("sub")
    user = settings.get("user")
    if isinstance(subject, str) and subject and (user is None or user.source in implicit_users):
        settings["user"] = Value(subject, FROM_TOKEN)


def is_jwt(token: str) -> bool:
    """Whether a token is a JSON web token; Knox's passcodes are not."""
    return bool(claims(token))


def claims(token: str) -> dict[str, Any]:
    """What a JSON web token says (`sub`: the user, `exp`: seconds since the epoch); not verified. Empty for a passcode."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return found if isinstance(found, dict) else {}


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if not _TOKEN.fullmatch(token):
        raise ConfigError(f"{where} holds no token: it is one word, as Knox's page or API of tokens gives it")
    return token


__all__ = ["FROM_TOKEN", "Token", "check_token", "claims", "is_jwt"]
