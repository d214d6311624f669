"""Errors of an embedded cluster. Messages have what was tried and the remedy."""

from __future__ import annotations

from knit_core.errors import KnitError


class LocalClusterError(KnitError):
    """An embedded cluster cannot do what was asked."""


class NoJava(LocalClusterError):
    """No Java runtime that Hadoop works with was found."""


class JarsUnavailable(LocalClusterError):
    """Hadoop's jars could not be fetched, or are damaged."""


class DaemonFailed(LocalClusterError):
    """A daemon ended or did not become ready in time; the message has the last lines of its log."""


class NotRunning(LocalClusterError):
    """The cluster is not running, or has no such daemon."""
