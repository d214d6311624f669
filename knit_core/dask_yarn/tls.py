"""Certificates of a Dask cluster: made for each cluster, uploaded as a file in the staging folder (mode 700 on HDFS)."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Security

from knit_core.dask_yarn.services import TLS_FILE
from knit_core.errors import ConfigError, NotFound, StagingError

_FIELDS = tuple(
    f"tls_{name}"
    for name in (
        "ca_file",
        *(f"{role}_{part}" for role in ("client", "scheduler", "worker") for part in ("cert", "key")),
    )
)


def security_of(given: Any) -> Security:
    """The security settings for the argument `security`.

    Args:
        given: True or None for new certificates; False for no TLS; or a `distributed.Security`, which is returned.

    Raises:
        ConfigError: `cryptography` is not installed, or the value has another type.
    """
    if given is None or given is True:
        try:
            return Security.temporary()
        except ImportError:
            raise ConfigError(
                "TLS certificates for the Dask cluster cannot be made: the package cryptography is not installed. "
                "Install it (pip install 'knit-yarn[dask]'), pass security=Security(…) with your own, or security=False"
            ) from None
    if given is False:
        return Security(require_encryption=False)
    if isinstance(given, Security):
        return given
    raise ConfigError(f"security must be True, False or a distributed.Security, not {given!r}")


def contents(security: Security) -> dict[str, str]:
    """The contents of keys and certificates, by field; files are read. Empty without TLS.

    Raises:
        ConfigError: a file cannot be read, or the certificate of a role is missing.
    """
    if not security.require_encryption:
        return {}
    found: dict[str, str] = {}
    for name in _FIELDS:
        value = getattr(security, name)
        if value is None:
            if not name.endswith("_key"):  # the certificate's file may contain the key
                raise ConfigError(f"security has no {name}: scheduler, workers and clients each require one")
            continue
        try:
            found[name] = value if "\n" in value else Path(value).read_text()
        except OSError as error:
            raise ConfigError(f"security: {name} {value} cannot be read: {error.strerror}") from None
    return found


@contextmanager
def key_file(security: Security) -> Iterator[str]:
    """Path of a temporary file (600, in a folder of 700) with the keys; empty without TLS."""
    given = contents(security)
    if not given:
        yield ""
        return
    folder = Path(tempfile.mkdtemp(prefix="knit-dask-"))
    try:
        path = folder / TLS_FILE
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(given, file)
        yield str(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_back(hdfs: Any, staging: str, sha256: str) -> Security:
    """The security settings of a running cluster, for a client that attaches to it.

    Args:
        hdfs: WebHDFS client.
        staging: the staging folder of its launch.
        sha256: of the key file, from the scheduler's record; empty without TLS.

    Raises:
        StagingError: the keys do not exist, or this user may not read them.
    """
    if not sha256:
        return Security(require_encryption=False)
    path = f"{staging}/cache/{sha256}/{TLS_FILE}"
    try:
        raw = hdfs.read(path)
    except NotFound:
        raw = None
    if raw is None:
        raise StagingError(
            f"The TLS keys of the Dask cluster are not at {path} on HDFS: attach with the user and staging folder that "
            "launched it (KNIT_USER, KNIT_STAGING)"
        )
    return Security(require_encryption=True, **json.loads(raw))
