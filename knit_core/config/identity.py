"""User and password: taken from addresses, checked for contradictions, compared with the server's name of the user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from knit_core.errors import ConfigError


def without_credentials(urls: Iterable[str]) -> tuple[list[str], tuple[str, str] | None]:
    """Addresses without `user:password@`, and that user and password; None when no address has them.

    Raises:
        ConfigError: the addresses have different users or passwords.
    """
    plain, found = [], set()
    for url in urls:
        scheme, mark, rest = url.rpartition("://")
        authority, slash, path = rest.partition("/")
        login, at, host = authority.rpartition("@")
        if at:
            user, _, password = login.partition(":")
            found.add((unquote(user), unquote(password)))
        plain.append(f"{scheme}{mark}{host}{slash}{path}")
    if len(found) > 1:
        raise ConfigError("The addresses have different users or passwords before the @: set user and password instead")
    return plain, found.pop() if found else None


def contradictions(auth: str, auth_source: str, password_source: str, token_source: str = "") -> Iterator[str]:
    """Contradictions between the settings `auth`, `password` and `token`: sentences with the remedies.

    Args:
        auth: "simple", "basic", "token", "kerberos", or empty for the default.
        auth_source: where auth was set.
        password_source: where a password was set; empty: it is not set.
        token_source: the same of a token, or the file with it.
    """
    if token_source and auth != "token":
        state = f"auth is {auth} ({auth_source})" if auth else "auth is not set"
        yield (
            f"A token is set ({token_source}) but {state}: set auth to token (KNIT_AUTH=token) to log in at a gateway such as "
            "Knox, or remove the token"
        )
    if auth == "token" and not token_source:
        yield (
            f"auth is token ({auth_source}) but there is none: set token_file (KNIT_TOKEN_FILE) or token (KNIT_TOKEN) to one "
            "that the gateway gave"
        )
    if auth == "token" and password_source:
        yield (
            f"auth is token ({auth_source}), but a password is set ({password_source}): remove it, or set auth to basic"
        )
    if password_source and not auth:
        yield (
            f"A password is set ({password_source}) but auth is not: set auth to basic (KNIT_AUTH=basic) to log in at a "
            "gateway such as Knox, or remove the password"
        )
    if password_source and auth == "simple":
        yield (
            f"auth is simple ({auth_source}), which sends no password, but a password is set ({password_source}): set auth to "
            "basic (KNIT_AUTH=basic) to log in at a gateway such as Knox, or remove the password"
        )
    if password_source and auth == "kerberos":
        yield (
            f"auth is kerberos ({auth_source}), where tickets prove who the user is, but a password is set "
            f"({password_source}): remove it (kinit asks for the password of a principal)"
        )
    if auth == "basic" and not password_source:
        yield (
            f"auth is basic ({auth_source}) but no password is set: set it (KNIT_PASSWORD), or set auth to simple where the "
            "cluster accepts user names without a password"
        )


def same_user(ours: str, theirs: str) -> bool:
    """Whether a server's short name may mean our user: it is alice for `alice@REALM`, `CORP\\\\alice`, `alice/host@REALM`."""
    names = {part.lower() for part in re.split(r"[@/\\]", ours) if part}
    return theirs.lower() in names or theirs.lower() == ours.lower()
