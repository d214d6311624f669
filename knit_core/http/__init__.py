"""One way to talk HTTP: a session with authentication, retries and failover over addresses, and one place where replies
become errors.
"""

from knit_core.http.auth import AuthStrategy, BasicAuth, SimpleAuth
from knit_core.http.direct import Direct
from knit_core.http.retry import RetryPolicy
from knit_core.http.service import Endpoint, HttpService

__all__ = ["AuthStrategy", "BasicAuth", "Direct", "Endpoint", "HttpService", "RetryPolicy", "SimpleAuth"]
