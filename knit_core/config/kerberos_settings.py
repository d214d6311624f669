"""The settings of Kerberos: what they imply, and which contradict each other."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path

from knit_core.config.hadoop_conf import HadoopConf
from knit_core.config.settings import Value
from knit_core.errors import ConfigError

_NAMES = ("keytab", "principal", "ticket_cache")
_AUTHENTICATION = "hadoop.security.authentication"


def check_kerberos(settings: MutableMapping[str, Value], hadoop: HadoopConf | None, *, gateway: bool) -> None:
    """Set `auth` to kerberos where a keytab, a ticket cache or Hadoop's XML says so, and check the keytab.

    Args:
        settings: all settings; changed.
        hadoop: Hadoop's XML of this cluster.
        gateway: whether the addresses are those of a gateway, which has an authentication of its own.

    Raises:
        ConfigError: settings contradict each other, or the keytab cannot be read.
    """
    auth, given = settings.get("auth"), [name for name in _NAMES if name in settings]
    if given and auth is not None and auth.value != "kerberos":
        raise ConfigError(
            f"auth is {auth.value} ({auth.source}), which uses no Kerberos tickets, but {given[0]} is set "
            f"({settings[given[0]].source}): set auth to kerberos, or remove {given[0]}"
        )
    if "keytab" in settings and "ticket_cache" in settings:
        raise ConfigError(
            f"keytab ({settings['keytab'].source}) and ticket_cache ({settings['ticket_cache'].source}) are both set: tickets "
            "come from one of them, so remove the other"
        )
    if auth is None and given:
        settings["auth"] = Value("kerberos", f"because {given[0]} is set")
    elif auth is None and hadoop is not None and not gateway and hadoop.get(_AUTHENTICATION) == "kerberos":
        settings["auth"] = Value("kerberos", f"{_AUTHENTICATION} in {hadoop.source(_AUTHENTICATION)}")
    if "keytab" in settings:
        _check_keytab(settings)


def _check_keytab(settings: MutableMapping[str, Value]) -> None:
    given = settings["keytab"]
    path = Path(given.value.removeprefix("FILE:")).expanduser()
    settings["keytab"] = Value(str(path), given.source)
    try:
        with path.open("rb") as file:
            first = file.read(1)
    except OSError as error:
        raise ConfigError(f"keytab {given.value} ({given.source}) cannot be read: {error.strerror}") from None
    if first != b"\x05":  # the version byte of every keytab
        raise ConfigError(f"keytab {given.value} ({given.source}) is not a file of Kerberos keys (see klist -k)")


__all__ = ["check_kerberos"]
