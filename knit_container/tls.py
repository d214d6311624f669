"""Connections to the cluster's web services, with TLS where the address says https."""

from __future__ import annotations

import functools
import http.client
import os
import ssl
import sys

from knit_container.complete_headers import CompleteHeaders

CA_VARIABLE = (
    "KNIT_CA"  # a file of certificates, or "false": set by the container's script from the client's own setting
)


@functools.lru_cache(maxsize=1)
def context() -> ssl.SSLContext:
    """Whom this container believes: the certificates of its node, and those that the client's setting `ca` names.

    With `ca: false` nobody's identity is checked, which is said once on stderr.
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
    """A connection that is not open yet.

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
