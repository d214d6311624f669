"""Why a request had no reply, in words."""

from __future__ import annotations

import requests

# The Router of a federation refuses a submission with this text and status 503.
NO_SUBCLUSTER = "No active SubCluster available"


def reason_of(error: requests.RequestException) -> tuple[str, bool]:
    """The fault in words, and whether it is certain that nothing was sent."""
    text = repr(error)
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not connect", True
    if isinstance(error, requests.exceptions.SSLError):
        # Any other TLS fault may come when the request was sent: in TLS 1.3 a server refuses clients after the handshake.
        return "TLS failed", any(part in text for part in ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER"))
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "connecting took too long", True
    if isinstance(error, requests.exceptions.ReadTimeout):
        return "no reply in time", False
    if "NameResolutionError" in text or "gaierror" in text:
        return "name not known", True
    if "Connection refused" in text:
        return "connection refused", True
    if "NewConnectionError" in text:
        return "no route", True
    if "BadStatusLine" in text or "InvalidHeader" in text:
        return "not HTTP", False
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        return "not an http:// or https:// address", True
    return "the connection broke", False
