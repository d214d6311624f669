"""The exceptions of knit 0.2.4, mapped from knit_core's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from knit_core import errors


class KnitException(Exception):
    """Wrong use, or a request that the cluster cannot fulfil."""


class YARNException(KnitException):
    """YARN is unreachable, or refused the request."""


class HDFSConfigException(KnitException):
    """The cluster's address is unknown."""


class CondaException(KnitException):
    """An environment could not be built."""


@contextmanager
def translated() -> Iterator[None]:
    """Convert knit_core's errors to the exceptions of knit 0.2.4, with the same message."""
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
