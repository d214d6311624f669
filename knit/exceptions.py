"""The exceptions of knit 0.2.4, mapped from knit_core's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from knit_core import errors

_PROXY = "If the cluster is behind a proxy or gateway such as Knox, give its rm, rm_port and gateway_path."


class KnitException(Exception):
    """Wrong use, or a request that the cluster cannot fulfil."""


class YARNException(KnitException):
    """YARN is unreachable, or refused the request."""


class HDFSConfigException(KnitException):
    """The cluster's address is unknown."""


class CondaException(KnitException):
    """An environment could not be built."""


class WrongValue(KnitException, ValueError):
    """An argument that knit 0.2.4 refused with a ValueError."""


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
        raise YARNException(f"{error} {_PROXY}") from error
    except errors.KnitError as error:
        raise KnitException(str(error)) from error


@contextmanager
def yarn_errors() -> Iterator[None]:
    """Convert every error of knit_core to YARNException."""
    try:
        with translated():
            yield
    except YARNException:
        raise
    except KnitException as error:
        raise YARNException(str(error)) from error
