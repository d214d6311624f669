"""Who asks, and how that is shown: what an address says of it, and contradictions. And variables that are no settings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from knit_core.errors import ConfigError

#: `KNIT_…` variables that are no settings: what else Knit and its tests read, and what containers have.
_OTHER = "CONFIG LOCAL_STATE MAVEN_REPOSITORY EXAMPLE_CHANNEL SCREENSHOTS LANG"
_IN_CONTAINERS = "APP_ID SERVICE INSTANCE INSTANCES ATTEMPT CONTAINER MASTER MASTER_ATTEMPT MASTER_FILE"
OTHER_VARIABLES = frozenset(f"KNIT_{name}" for name in f"{_OTHER} {_IN_CONTAINERS}".split())
# Of tests; and Kubernetes' own, in the pods beside a service whose name begins with "knit".
_OTHERS = re.compile(r"KNIT_TEST_\w+|KNIT_(\w+_)?(SERVICE_(HOST|PORT)|PORT)(_\w+)?")


def check_variables(environ: Iterable[str], settings: Iterable[str]) -> None:
    """Refuse variables that begin with `KNIT_` and mean nothing: most likely one is mistyped.

    Raises:
        ConfigError: with the nearest one that there is.
    """
    known = {f"KNIT_{name.upper()}" for name in settings}
    for name in sorted(environ):
        if not name.startswith("KNIT_") or name in known or name in OTHER_VARIABLES or _OTHERS.fullmatch(name):
            continue
        near = difflib.get_close_matches(name, [*known, *OTHER_VARIABLES], n=1)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else "knit doctor shows what is set; docs/configuration.md lists the settings."
        )
        raise ConfigError(f"The environment variable {name} is no setting of Knit; {hint} Otherwise unset it.")


def without_credentials(urls: Iterable[str]) -> tuple[list[str], tuple[str, str] | None]:
    """Addresses without the `user:password@` that they may begin with, and these two; None: none has them.

    Raises:
        ConfigError: they differ.
    """
    plain, found = [], set()
    for url in urls:
        scheme, mark, rest = url.rpartition("://")
        place, slash, path = rest.partition("/")
        login, at, host = place.rpartition("@")
        if at:
            user, _, password = login.partition(":")
            found.add((unquote(user), unquote(password)))
        plain.append(f"{scheme}{mark}{host}{slash}{path}")
    if len(found) > 1:
        raise ConfigError("The addresses name different users or passwords before the @: give one as user and password")
    return plain, found.pop() if found else None


def contradictions(auth: str, auth_source: str, password_source: str) -> Iterator[str]:
    """What is wrong with how this process is to show who it is; sentences with both remedies.

    Args:
        auth: "simple", "basic" or empty for the default.
        auth_source: where it was set.
        password_source: where a password was set; empty: nowhere.
    """
    if password_source and not auth:
        yield (
            f"There is a password ({password_source}) and nothing says what it is for: set auth to basic (KNIT_AUTH=basic) "
            "to log in at a gateway such as Knox, or take the password away"
        )
    if password_source and auth == "simple":
        yield (
            f"auth is simple ({auth_source}), which sends no password, and there is one ({password_source}): set auth to "
            "basic (KNIT_AUTH=basic) to log in at a gateway such as Knox, or take the password away"
        )
    if auth == "basic" and not password_source:
        yield (
            f"auth is basic ({auth_source}) and there is no password: set it (KNIT_PASSWORD), or auth to simple where the "
            "cluster believes the user's name"
        )


def same_user(ours: str, theirs: str) -> bool:
    """Whether a server's short name may be ours: `alice@REALM`, `CORP\\\\alice` and `alice/host@REALM` are alice there."""
    names = {part.lower() for part in re.split(r"[@/\\]", ours) if part}
    return theirs.lower() in names or theirs.lower() == ours.lower()
