"""HTTP requests to services of the cluster: authentication, retries, failover over addresses, and errors from replies."""

from knit_core.hadoop.http.auth import ActingFor, AuthStrategy, SimpleAuth, impersonation_hint
from knit_core.hadoop.http.direct_transport import DirectTransport
from knit_core.hadoop.http.fault_reasons import NO_SUBCLUSTER
from knit_core.hadoop.http.gateway_auth import BasicAuth, TokenAuth, gateway_hint
from knit_core.hadoop.http.kerberos import DetectedAuth, KerberosAuth
from knit_core.hadoop.http.retry import RetryPolicy
from knit_core.hadoop.http.routes import Route
from knit_core.hadoop.http.service import Endpoint, HttpService
from knit_core.hadoop.http.tickets import Tickets
from knit_core.hadoop.http.tls import Tls

__all__ = [
    "NO_SUBCLUSTER",
    "ActingFor",
    "AuthStrategy",
    "BasicAuth",
    "DetectedAuth",
    "DirectTransport",
    "Endpoint",
    "HttpService",
    "KerberosAuth",
    "RetryPolicy",
    "Route",
    "SimpleAuth",
    "Tickets",
    "Tls",
    "TokenAuth",
    "gateway_hint",
    "impersonation_hint",
]
