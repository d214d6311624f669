"""HDFS over WebHDFS: the `hdfs` library's client with our session, and our own code for what it lacks.

What it lacks: an atomic rename that never overwrites (`renameoptions=NONE`), reading a byte range of a growing file's
end, errors that say what to do. Retries happen here, not in the library.
"""

from __future__ import annotations

import posixpath
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import IO, Any, TypeVar

import requests
from hdfs.client import Client
from hdfs.util import HdfsError

from knit_core.errors import (
    KnitError,
    NotAuthorized,
    NotFound,
    RequestRefused,
    ServiceUnavailable,
    UnexpectedReply,
)
from knit_core.facts import FileStatus
from knit_core.hadoopjson import rows
from knit_core.http import HttpService

T = TypeVar("T")
_CHUNK = 1 << 18
_UPLOADS = 4  # tries of one file
_TRANSIENT = {"StandbyException", "RetriableException", "SafeModeException"}


class _Client(Client):  # type: ignore[misc]  # the library has no types
    """The library's client over our session: identity, time-outs and headers as everywhere in Knit."""

    def __init__(self, http: HttpService) -> None:
        self._http = http
        super().__init__(";".join(http.endpoint.addresses), session=http.session, timeout=http.endpoint.timeout)

    def _request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        params = kwargs.setdefault("params", {})
        if "delegation" not in params:
            params.update(self._http.endpoint.auth.parameters())
        return self._http.session.request(
            method=method,
            url=url,
            timeout=self._timeout,
            headers={"Content-Type": "application/octet-stream"},  # HttpFS wants it
            **kwargs,
        )


class WebHdfs:
    """Typed calls to HDFS."""

    def __init__(self, http: HttpService) -> None:
        self.http = http
        self.client = _Client(http)

    @property
    def address(self) -> str:
        """The NameNode's web address."""
        return self.http.address

    def status(self, path: str) -> FileStatus | None:
        """Status of `path`; None when it is not there."""

        def ask() -> FileStatus | None:
            try:
                return _status(path, self.client.status(path))
            except HdfsError as error:
                if error.exception == "FileNotFoundException":
                    return None
                raise

        return self._call(f"look at {path}", ask)

    def list(self, path: str) -> list[FileStatus]:
        """Entries of a folder; empty when it is not there."""

        def ask() -> list[FileStatus]:
            try:
                found = self.client._list_status(path).json()["FileStatuses"]
            except HdfsError as error:
                if error.exception == "FileNotFoundException":
                    return []
                raise
            entries = rows(found, "FileStatus")
            if any(not row["pathSuffix"] for row in entries):
                raise HdfsError(f"{path} is not a folder")
            return [_status(posixpath.join(path, str(row["pathSuffix"])), row) for row in entries]

        return self._call(f"list {path}", ask)

    def mkdirs(self, path: str, permission: str = "700") -> None:
        """Make a folder and its parents; one that is there keeps its permission."""
        self._call(f"make {path}", lambda: self.client.makedirs(path, permission=permission))

    def set_permission(self, path: str, permission: str) -> None:
        """chmod."""
        self._call(f"set the permission of {path}", lambda: self.client.set_permission(path, permission))

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes | None:
        """Content of a file (from `offset`, at most `length` bytes); None when it is not there."""

        def ask() -> bytes | None:
            try:
                with self.client.read(path, offset=offset, length=length) as reader:
                    return bytes(reader.read())
            except HdfsError as error:
                if error.exception == "FileNotFoundException":
                    return None
                raise

        return self._call(f"read {path}", ask)

    def stream(self, path: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Content of a file (from `offset`, at most `length` bytes) in pieces; raises NotFound when it is not there."""
        try:
            with self.client.read(path, offset=offset, length=length, chunk_size=_CHUNK) as reader:
                yield from reader
        except (HdfsError, requests.RequestException) as error:
            raise self._error(error, f"read {path}") from None

    def write(
        self,
        path: str,
        data: bytes | IO[bytes] | Iterator[bytes],
        *,
        permission: str = "600",
        replication: int | None = None,
    ) -> None:
        """Create `path` with `data`, never over an existing file. A reader may see it half written: see `publish`.

        Raises:
            RequestRefused: with exception FileAlreadyExistsException when it is there.
        """
        action = f"write {path}"
        try:
            self.client.write(path, data=data, overwrite=False, permission=permission, replication=replication)
        except (HdfsError, requests.RequestException) as error:
            raise self._error(error, action) from None

    def publish(
        self,
        path: str,
        data: Callable[[], bytes | IO[bytes] | Iterator[bytes]] | bytes,
        *,
        permission: str = "600",
        replication: int | None = None,
    ) -> bool:
        """Put a complete file at `path` if nothing is there: a temporary name in the same folder, then an atomic rename.

        A reader never sees half a file; of several writers one wins. `data` may be a function that opens the data
        anew for each try.

        Returns:
            True when this call's file is there, False when another was first.
        """
        temporary = f"{posixpath.dirname(path)}/.{posixpath.basename(path)}.{secrets.token_hex(8)}.tmp"

        tries = 0

        def put() -> bool:
            nonlocal tries
            tries += 1
            if tries > 1:  # the try before may have left a part, or all of it with the reply lost
                self.delete(temporary)
            self.write(temporary, data() if callable(data) else data, permission=permission, replication=replication)
            return self.rename_new(temporary, path)

        try:
            # an upload takes as long as it takes: each try has that time, and they are counted
            won = replace(self.http.retry, tries=_UPLOADS).call(put, idempotent=True)
        except BaseException:
            self._forget(temporary)
            raise
        if not won:
            self._forget(temporary)
        return won

    def replace(self, path: str, data: bytes, *, permission: str = "600") -> None:
        """Put a complete file at `path`, over one that is there: a temporary name, then an atomic rename."""
        temporary = f"{posixpath.dirname(path)}/.{posixpath.basename(path)}.{secrets.token_hex(8)}.tmp"
        try:
            self.write(temporary, data, permission=permission)
            # A renaming of which the reply was lost leaves nothing to rename: then it is there.
            self._call(
                f"rename {temporary} to {path}",
                lambda: self.client._rename(temporary, destination=path, renameoptions="OVERWRITE"),
            )
        except NotFound:
            if not self._there(path):
                raise
        except BaseException:
            self._forget(temporary)
            raise

    def mark(self, path: str) -> None:
        """Make an empty file; one that is there, or is being made by another, says the same."""

        def put() -> None:
            try:
                self.write(path, b"")
            except RequestRefused as error:
                if error.exception not in {"FileAlreadyExistsException", "AlreadyBeingCreatedException"}:
                    raise

        self.http.retry.call(put, idempotent=True)

    def rename_new(self, source: str, target: str) -> bool:
        """Rename without overwriting (`renameoptions=NONE`, atomic); False when the target exists.

        A lost reply is resolved by looking: the source gone and the target there means that it was done.
        """

        def ask() -> bool:
            try:
                self.client._rename(source, destination=target, renameoptions="NONE")
                return True
            except HdfsError as error:
                if error.exception == "FileAlreadyExistsException":
                    return False
                if error.exception == "FileNotFoundException" and self._there(target) and not self._there(source):
                    return True
                raise

        return self._call(f"rename {source} to {target}", ask)

    def delete(self, path: str, recursive: bool = False) -> bool:
        """Delete; False when it was not there."""
        return bool(
            self._call(f"delete {path}", lambda: self.client.delete(path, recursive=recursive, skip_trash=True))
        )

    def home(self) -> str:
        """The user's home folder as the NameNode sees it."""
        return str(self._call("ask for the home folder", lambda: self.client._get_home_directory("/").json()["Path"]))

    def _there(self, path: str) -> bool:
        return self.client.status(path, strict=False) is not None

    def _forget(self, path: str) -> None:
        """Delete what nobody needs; a failure to do so does not matter (names are never used twice)."""
        import contextlib

        with contextlib.suppress(HdfsError, requests.RequestException, KnitError):
            self.client.delete(path)

    def _call(self, action: str, ask: Callable[[], T]) -> T:
        def once() -> T:
            try:
                return ask()
            except (KeyError, TypeError, requests.exceptions.JSONDecodeError):
                raise UnexpectedReply(
                    f"{action}: what answers at {self.address} does not speak WebHDFS",
                    address=self.address,
                    action=action,
                ) from None
            except (HdfsError, requests.RequestException) as error:
                raise self._error(error, action) from None

        return self.http.retry.call(once, idempotent=True)

    def _error(self, error: Exception, action: str) -> KnitError:
        """The library's error as ours."""
        where = f"HDFS at {self.address}"
        if isinstance(error, requests.RequestException):
            return self.http.broken(error, self.address, action)
        name = getattr(error, "exception", None) or ""
        message = str(getattr(error, "message", error)).strip().split("\n")[0]
        if name in _TRANSIENT:
            return ServiceUnavailable(
                f"{action}: {where} does not serve now: {message}",
                address=self.address,
                action=action,
                not_carried_out=True,
            )
        text, kind, status = f"{action}: {where} refused: {message}", RequestRefused, 400
        if "user.name" in message or "does not belong to the domain" in message:
            text += " (which user names it takes is its setting dfs.webhdfs.user.provider.user.pattern)"
        if name in {"AccessControlException", "SecurityException"} or "Authentication" in message:
            text, kind, status = f"{text} (as {self.http.endpoint.auth.user})", NotAuthorized, 403
        elif name == "FileNotFoundException":
            kind, status = NotFound, 404
        elif name in {"DSQuotaExceededException", "NSQuotaExceededException"}:
            text += " Ask for a larger quota, or make room."
        return kind(text, status=status, exception=name, address=self.address, action=action)


def _status(path: str, row: Mapping[str, Any]) -> FileStatus:
    return FileStatus(
        path=path,
        size=int(row["length"]),
        modified=int(row["modificationTime"]),
        folder=row["type"] == "DIRECTORY",
        owner=str(row.get("owner", "")),
        permission=str(row.get("permission", "")),
    )
