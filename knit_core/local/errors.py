"""What can go wrong with an embedded cluster. Messages say what was tried and what to do."""

from __future__ import annotations

from knit_core.errors import KnitError


class LocalClusterError(KnitError):
    """An embedded cluster cannot do what was asked; the message is for people."""


class NoJava(LocalClusterError):
    """No Java runtime that Hadoop works with was found."""


class JarsUnavailable(LocalClusterError):
    """Hadoop's jars could not be fetched, or what came is not whole."""


class DaemonFailed(LocalClusterError):
    """A daemon died or did not become ready in time; the message has the last lines of its log."""


class NotRunning(LocalClusterError):
    """The call needs a running cluster, or a daemon that is not there."""
