"""HDFS over WebHDFS: the `hdfs` library's client with our session, and our own code for what it lacks.

What it lacks: renaming as an atomic test (its answer stands in the reply's body, not in the status), errors that say what
to do, and whose they are. Retries happen here, not in the library.

Two kinds of servers speak WebHDFS: NameNodes and HttpFS. HttpFS ignores `renameoptions`, and says 500 for most refusals. What
is used here works alike on both: RENAME without options moves a file to a free name for one caller of several, and its
reply says whether this call did it; CREATE with `overwrite=false` and MKDIRS. Replacing a file differs: see `replace`.
"""

from __future__ import annotations

import contextlib
import posixpath
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from hdfs.util import HdfsError

from knit_core.errors import (
    KnitError,
    NotAuthorized,
    NotFound,
    RequestRefused,
    ServiceUnavailable,
    UnexpectedReply,
)
from knit_core.hadoop.hdfs_client import BUSY, TRANSIENT, HdfsClient, NotServing, base_of_request, flag, passes
from knit_core.hadoop.http import HttpService, RetryPolicy
from knit_core.model.clock import Clock
from knit_core.model.cluster_facts import FileStatus
from knit_core.model.lenient_json import rows

T = TypeVar("T")
_CHUNK = 1 << 18
_UPLOADS = 4  # tries of one file
_SWAPS = 20  # tries to replace a file where others do so at the same time


class WebHdfs:
    """Typed calls to HDFS."""

    def __init__(self, http: HttpService, retry: RetryPolicy | None = None) -> None:
        self.http = http
        self.client = HdfsClient(http)
        self._retry = retry

    def waiting(self, retry: RetryPolicy) -> WebHdfs:
        """The same HDFS, whose faults are waited out by another policy."""
        return WebHdfs(self.http, retry)

    @property
    def retry(self) -> RetryPolicy:
        """When calls are tried again."""
        return self._retry or self.http.retry

    @property
    def address(self) -> str:
        """The NameNode's web address."""
        return self.http.address

    @property
    def user(self) -> str:
        """Who acts, as the settings name him."""
        return self.http.endpoint.auth.user

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

        def make() -> None:
            if not flag(self.client._mkdirs(path, permission=permission)):
                raise HdfsError(f"{path} was not made")

        self._call(f"make {path}", make)

    def mkdir_once(self, path: str, permission: str = "700") -> None:
        """Make a folder by one request, never repeated: once this has returned, no late one makes it again.

        Raises:
            ConnectionFailed, ServiceUnavailable: whether it was made, or will be, is not known.
        """
        try:
            if flag(self.client._mkdirs(path, permission=permission)):
                return
            raise HdfsError(f"{path} was not made")
        except (HdfsError, requests.RequestException) as error:
            raise self._error(error, f"make {path}") from None

    def set_permission(self, path: str, permission: str) -> None:
        """chmod."""
        self._call(f"set the permission of {path}", lambda: self.client.set_permission(path, permission))

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes | None:
        """Content of a file (from `offset`, at most `length` bytes); None when it is not there."""

        def ask() -> bytes | None:
            try:
                with self.client.read(path, offset=offset, length=length) as reader:
                    return bytes(reader.read())
            except urllib3.exceptions.HTTPError as error:  # it broke in the middle
                raise requests.ConnectionError(error) from None
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
        except KeyError as error:  # no Location: nobody who speaks WebHDFS
            if error.args != ("location",):
                raise
            raise self._error(error, action) from None

    def publish(
        self,
        path: str,
        data: Callable[[], bytes | IO[bytes] | Iterator[bytes]] | bytes,
        *,
        permission: str = "600",
        replication: int | None = None,
    ) -> bool:
        """Put a complete file at `path` if nothing is there: a temporary name in the same folder, then a rename.

        A reader never sees half a file; of several writers one wins. `data` may be a function that opens the data
        anew for each try.

        Returns:
            True when this call's file is there, False when another was first.

        Raises:
            RequestRefused: `path` is a folder, or HDFS refuses.
        """
        temporary = self._write_beside(path, data, permission, replication)
        try:
            won = self.rename_new(temporary, path)
            if won:
                self._check_landed(temporary, path)
        except BaseException:
            self._forget(temporary)
            raise
        if not won:
            self._forget(temporary)
        return won

    def replace(self, path: str, data: bytes, *, permission: str = "600") -> None:
        """Put a complete file at `path`, over one that is there. Of several writers one's content stays, whole.

        A NameNode does it in one step: a reader sees the old file or the new one. HttpFS has no such step: there the old file
        is deleted and the new one renamed to its name, so that for a moment a reader finds nothing, which
        `read_replaced` waits out.

        Raises:
            RequestRefused: `path` is a folder, or HDFS refuses.
        """
        temporary = self._write_beside(path, data, permission, None)
        try:
            self._call(f"rename {temporary} to {path}", lambda: self._swap(temporary, path))
            self._check_landed(temporary, path)
        except BaseException:
            self._forget(temporary)
            raise

    def read_replaced(self, path: str, *, clock: Clock = time) -> bytes | None:
        """Content of a file that others may be replacing just now; None when it is not there.

        Args:
            path: the file.
            clock: for the pauses; at most two seconds in all.
        """
        beginning = f".{posixpath.basename(path)}."
        for _ in range(20):
            found = self.read(path)
            if found is not None:
                return found
            others = self.list(posixpath.dirname(path))
            if not any(each.name.startswith(beginning) and each.name.endswith(".tmp") for each in others):
                return self.read(path)  # it may have come between the two looks
            clock.sleep(0.1)
        return None

    def _write_beside(
        self,
        path: str,
        data: Callable[[], bytes | IO[bytes] | Iterator[bytes]] | bytes,
        permission: str,
        replication: int | None,
    ) -> str:
        """Writes a temporary file in the folder of `path`; its path. Each try has a name of its own: what an earlier one
        left may still be open for writing."""
        left: list[str] = []

        def put() -> str:
            for other in left:
                self._forget(other)
            left.append(f"{posixpath.dirname(path)}/.{posixpath.basename(path)}.{secrets.token_hex(8)}.tmp")
            self.write(left[-1], data() if callable(data) else data, permission=permission, replication=replication)
            return left[-1]

        try:
            # an upload takes as long as it takes: each try has that time, and they are counted
            return replace(self.retry, tries=_UPLOADS).call(put, idempotent=True)
        except BaseException:
            for other in left:
                self._forget(other)
            raise

    def _swap(self, temporary: str, path: str) -> None:
        try:
            reply = self.client._rename(temporary, destination=path, renameoptions="OVERWRITE")
        except HdfsError as error:
            if error.exception == "FileNotFoundException" and self._there(path):
                return  # a renaming before, of which the reply was lost
            raise
        if flag(reply, missing=True):
            return
        for _ in range(_SWAPS):  # HttpFS, which ignores the option: it moves only to a name that is free
            if not self._there(temporary):
                if self._there(path):
                    return  # a renaming before, of which the reply was lost
                raise HdfsError(f"{temporary} is gone", exception="FileNotFoundException")
            self.client._delete(path)
            if flag(self.client._rename(temporary, destination=path)):
                return
        raise HdfsError(f"others replace {path} all the time", exception="RetriableException")

    def _check_landed(self, source: str, target: str) -> None:
        """A rename to a folder's name moves into that folder."""
        found = self.status(target)
        if found is not None and found.folder:
            self._forget(f"{target}/{posixpath.basename(source)}")
            raise RequestRefused(
                f"write {target}: it is a folder on HDFS at {self.address}, where a file belongs",
                exception="PathIsDirectoryException", address=self.address, action=f"write {target}",
            )  # fmt: skip

    def mark(self, path: str) -> None:
        """Make an empty file; one that is there, or is being made by another, says the same."""

        def put() -> None:
            try:
                self.write(path, b"")
            except RequestRefused as error:
                if error.exception not in {"FileAlreadyExistsException", "AlreadyBeingCreatedException"}:
                    raise

        self.retry.call(put, idempotent=True)

    def rename_new(self, source: str, target: str) -> bool:
        """Rename to a name that is free; False when it is taken. Atomic: of several callers one gets True.

        The reply's body tells whether this request moved something. False may also mean that an earlier try did, whose
        reply was lost: so what lies there is looked at. Names of sources are never used twice.

        Raises:
            NotFound: there is no source, or no folder for the target.
        """

        def ask() -> bool:
            if flag(self.client._rename(source, destination=target)):
                return True
            taken = self._there(target)
            if not self._there(source):
                if taken:
                    return True
                raise HdfsError(f"{source} is not there", exception="FileNotFoundException")
            if taken:
                return False
            if not self._there(posixpath.dirname(target)):
                raise HdfsError(f"{posixpath.dirname(target)} is not there", exception="FileNotFoundException")
            raise HdfsError(f"{source} was not moved to {target}", exception="RetriableException")

        return self._call(f"rename {source} to {target}", ask)

    def rename_once(self, source: str, target: str) -> bool:
        """One rename to a name that is free, never repeated; whether the server says that it was done.

        Raises:
            ConnectionFailed, ServiceUnavailable: whether it was done, or will be, is not known.
        """
        action = f"rename {source} to {target}"
        try:
            return flag(self.client._rename(source, destination=target))
        except (HdfsError, requests.RequestException) as error:
            raise self._error(error, action) from None

    def delete(self, path: str, recursive: bool = False) -> bool:
        """Delete; False when it was not there."""
        action = f"delete {path}"
        return self._call(action, lambda: flag(self.client._delete(path, recursive=recursive, skiptrash=True)))

    def home(self) -> str:
        """The user's home folder as the NameNode sees it."""
        return str(self._call("ask for the home folder", lambda: self.client._get_home_directory("/").json()["Path"]))

    def _there(self, path: str) -> bool:
        """Whether something is there. A fault is not an answer, and raised."""
        try:
            self.client.status(path)
            return True
        except HdfsError as error:
            if error.exception == "FileNotFoundException":
                return False
            raise

    def _forget(self, path: str) -> None:
        """Delete what nobody needs; a failure to do so does not matter (names are never used twice)."""
        with contextlib.suppress(HdfsError, requests.RequestException, KnitError):
            self.client._delete(path)

    def _call(self, action: str, ask: Callable[[], T]) -> T:
        def once() -> T:
            try:
                return ask()
            except (HdfsError, requests.RequestException, KeyError, TypeError) as error:
                raise self._error(error, action) from None

        return self.retry.call(once, idempotent=True)

    def _error(self, error: Exception, action: str) -> KnitError:
        """The library's error as ours."""
        if isinstance(error, NotServing):
            return ServiceUnavailable(
                f"{action}: {self._who(base_of_request(error))} does not serve now ({error})",
                address=base_of_request(error),
                action=action,
            )
        if isinstance(error, (requests.exceptions.JSONDecodeError, KeyError, TypeError)):
            hint = self.http.instead(self.address) or " Is this address really the NameNode's web address?"
            return UnexpectedReply(
                f"{action}: what answers at {self.address} does not speak WebHDFS.{hint}",
                address=self.address,
                action=action,
            )
        if isinstance(error, requests.RequestException):
            base = base_of_request(error) or self.address
            return self.http.broken(error, base, action, name=None if self._ours(base) else "DataNode")
        base = getattr(error, "base", self.address)
        name = getattr(error, "exception", None) or ""
        message = str(getattr(error, "message", error)).strip().split("\n")[0]
        status = int(getattr(error, "status", 400))
        if name in TRANSIENT or status in BUSY or passes(name, message, while_sending=not self._ours(base)):
            return ServiceUnavailable(
                f"{action}: {self._who(base)} does not serve now: {message}",
                address=base,
                action=action,
                not_carried_out=name in TRANSIENT,
            )
        if not name and message.startswith(("<", "status ")):
            message = "with no reply of WebHDFS" + (
                self.http.instead(self.address) or ": is it a NameNode's web address?"
            )
        elif "Invalid operation" in message:
            message += f".{self.http.instead(self.address)}"
        text, kind = f"{action}: {self._who(base)} refused: {message}", RequestRefused
        if "user.name" in message or "does not belong to the domain" in message:
            text += " (which user names it takes is its setting dfs.webhdfs.user.provider.user.pattern)"
        if status == 401 or name in {"AccessControlException", "SecurityException"} or "Authentication" in message:
            text, kind, status = f"{text} (as {self.http.endpoint.auth.user})", NotAuthorized, 403
        elif name == "FileNotFoundException":
            kind, status = NotFound, 404
        elif name in {"DSQuotaExceededException", "NSQuotaExceededException"}:
            text += " Ask for a larger quota, or make room."
        return kind(text, status=status, exception=name, address=base, action=action)

    def _ours(self, base: str) -> bool:
        return urlsplit(base).netloc in {urlsplit(address).netloc for address in self.http.endpoint.addresses}

    def _who(self, base: str) -> str:
        return f"HDFS at {base}" if self._ours(base) or not base else f"the DataNode at {base}"


def _status(path: str, row: Mapping[str, Any]) -> FileStatus:
    return FileStatus(
        path=path,
        size=int(row["length"]),
        modified=int(row["modificationTime"]),
        folder=row["type"] == "DIRECTORY",
        owner=str(row.get("owner", "")),
        permission=str(row.get("permission", "")),
        link=row["type"] == "SYMLINK",
    )
