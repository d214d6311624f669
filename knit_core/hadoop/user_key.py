"""The application's secret: HMAC-SHA256(user's key, application id). The key is a file in the staging folder, mode 600.

`attach`, the command line and other Airflow workers compute the same secret, and so do two launches at the same time. Key and
secrets are never logged.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from knit_container.secret import Hidden
from knit_core.errors import StagingError
from knit_core.hadoop.ownership import KEY, check_staging
from knit_core.hadoop.webhdfs import WebHdfs

_SIZE = 32


class UserKey:
    """The key of one user's staging folder; read once."""

    def __init__(self, hdfs: WebHdfs, staging: str) -> None:
        self._hdfs, self._staging, self._path = hdfs, staging, f"{staging}/{KEY}"
        self._key: Hidden[bytes] | None = None

    def application_secret(self, app_id: str, *, create: bool = False) -> bytes:
        """The secret that signs calls to `app_id`.

        Args:
            app_id: the application.
            create: make the key when it does not exist (for a launch).

        Raises:
            StagingError: the key does not exist, is damaged, or may have been written by another user.
        """
        if self._key is None:
            self._key = Hidden(self._load(create))
        return hmac.new(self._key.reveal(), app_id.encode(), hashlib.sha256).digest()

    def _load(self, create: bool) -> bytes:
        check_staging(self._hdfs, self._staging)
        found = self._hdfs.read(self._path)
        if found is None and create:
            self._hdfs.publish(self._path, secrets.token_bytes(_SIZE), permission="600")
            found = self._hdfs.read(self._path)
        if found is None:
            raise StagingError(
                f"There is no key at {self._path} on HDFS: nothing was launched from this staging folder. "
                "Calls to a running application need the user and staging folder that launched it (KNIT_USER, KNIT_STAGING)."
            )
        if len(found) != _SIZE:
            raise StagingError(f"The key at {self._path} on HDFS is damaged ({len(found)} bytes instead of {_SIZE})")
        return found

    def __repr__(self) -> str:
        return f"UserKey({self._path!r})"
