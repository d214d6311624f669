"""knit 0.2.4's exceptions, and which of knit_core's errors each one stands for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from knit_core import errors


class KnitException(Exception):
    """Wrong use, or a request that the cluster cannot fulfil."""


class YARNException(KnitException):
    """YARN could not be reached, or refused."""


class HDFSConfigException(KnitException):
    """Where the cluster is is not known."""


class CondaException(KnitException):
    """An environment could not be built."""


@contextmanager
def translated() -> Iterator[None]:
    """knit_core's errors as the ones that the seed's users catch; the message stays."""
    try:
        yield
    except errors.ConfigError as error:
        raise HDFSConfigException(str(error)) from error
    except errors.EnvironmentFailed as error:
        raise CondaException(str(error)) from error
    except (errors.ConnectionFailed, errors.UnexpectedReply, errors.ServiceUnavailable) as error:
        raise YARNException(f"{error} If the cluster is behind a gateway, set gateway_path.") from error
    except errors.KnitError as error:
        raise KnitException(str(error)) from error
