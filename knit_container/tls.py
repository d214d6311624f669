"""Connections to the cluster's web services, with TLS for https addresses."""

from __future__ import annotations

import functools
import http.client
import os
import ssl
import sys

from knit_container.complete_headers import CompleteHeaders

#: A file of certificates, or "false"; the container's script sets it from the client's setting `ca`.
CA_VARIABLE = "KNIT_CA"


@functools.lru_cache(maxsize=1)
def context() -> ssl.SSLContext:
    """The trusted certificates: those of the node, and those of the client's setting `ca`.

    With `ca: false` no identity is checked; a warning on stderr says so once.
    """
    ca = os.environ.get(CA_VARIABLE, "")
    found = ssl.create_default_context()
    if ca.lower() == "false":
        print("knit: identities of https servers are not checked here (ca: false)", file=sys.stderr, flush=True)
        found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    elif ca:
        found.load_verify_locations(cafile=ca)
    return found


def connect(scheme: str, address: str, timeout: float) -> http.client.HTTPConnection:
    """A connection, not opened yet.

    Args:
        scheme: http or https.
        address: `host:port`.
        timeout: seconds to connect, and for each reply.
    """
    made: http.client.HTTPConnection
    if scheme == "https":
        made = http.client.HTTPSConnection(address, timeout=timeout, context=context())
    else:
        made = http.client.HTTPConnection(address, timeout=timeout)
    made.response_class = CompleteHeaders
    return made
