"""HDFS over WebHDFS: the `hdfs` library with Knit's session, and Knit's own code for what the library lacks.

The library lacks: renames that answer whether they moved something, requests that are never repeated, errors with a remedy
(docs/decisions/008-hdfs-library.md). Retries happen here, not in the library.

NameNodes and HttpFS both serve WebHDFS. HttpFS ignores `renameoptions` and answers most refusals with status 500. Only what
works alike on both is used: RENAME without options moves a file to a free name for one of several callers, and the reply
tells whether this call did it; CREATE with `overwrite=false`; MKDIRS. Replacing a file differs: see `replace`.
"""

from __future__ import annotations

import contextlib
import posixpath
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import IO, Any, TypeVar

import requests
import urllib3
from hdfs.client import Client
from hdfs.util import HdfsError

from knit_core.errors import KnitError, RequestRefused
from knit_core.hadoop.hdfs_session import ANY_NAMENODE, HdfsSession, Refusal, flag
from knit_core.hadoop.http import HttpService, RetryPolicy
from knit_core.hadoop.webhdfs_errors import webhdfs_error
from knit_core.model.clock import Clock
from knit_core.model.cluster_facts import FileStatus
from knit_core.model.lenient_json import rows

T = TypeVar("T")
Data = bytes | IO[bytes] | Iterator[bytes]
_CHUNK = 1 << 18  # bytes
_UPLOAD_TRIES = 4
_REPLACE_TRIES = 20  # while other callers replace the same file
_NOT_THERE = "FileNotFoundException"


class WebHdfs:
    """Typed calls to HDFS.

    Args:
        http: the NameNodes.
        retry: when calls are repeated; None: as requests of `http`.
    """

    def __init__(self, http: HttpService, retry: RetryPolicy | None = None) -> None:
        self.http = http
        self.session = HdfsSession(http)
        self.client = self._new_client()
        self._retry = retry

    def waiting(self, retry: RetryPolicy) -> WebHdfs:
        """The same HDFS with another retry policy."""
        return WebHdfs(self.http, retry)

    @property
    def retry(self) -> RetryPolicy:
        """When calls are repeated."""
        return self._retry or self.http.retry

    @property
    def address(self) -> str:
        """Web address of the NameNode that served last."""
        return self.http.address

    @property
    def user(self) -> str:
        """The user whose identity requests carry, as the settings name it."""
        return self.http.endpoint.auth.user

    def status(self, path: str) -> FileStatus | None:
        """Status of `path`; None when it does not exist."""

        def call() -> FileStatus | None:
            found = _unless_missing(lambda: self.client.status(path))
            return None if found is None else _status(path, found)

        return self._call(f"get the status of {path}", call)

    def list(self, path: str) -> list[FileStatus]:
        """Entries of a folder; empty when it does not exist."""

        def call() -> list[FileStatus]:
            reply = _unless_missing(lambda: self.session.operate("GET", path, op="LISTSTATUS"))
            if reply is None:
                return []
            entries = rows(reply.json()["FileStatuses"], "FileStatus")
            if any(not row["pathSuffix"] for row in entries):
                raise HdfsError(f"{path} is not a folder")
            return [_status(posixpath.join(path, str(row["pathSuffix"])), row) for row in entries]

        return self._call(f"list {path}", call)

    def mkdirs(self, path: str, permission: str = "700") -> None:
        """Make a folder and its parents; an existing one keeps its permission."""
        self._call(f"make {path}", lambda: self.client.makedirs(path, permission=permission))

    def mkdir_once(self, path: str, permission: str = "700") -> None:
        """Make a folder by one request, which is never repeated: no late repetition makes the folder again.

        Raises:
            ConnectionFailed, ServiceUnavailable: it is not known whether the folder was or will be made.
        """
        self._once(
            f"make {path}",
            lambda: self.session.operate("PUT", path, once=True, op="MKDIRS", permission=permission),
        )

    def set_permission(self, path: str, permission: str) -> None:
        """Set the permission (octal) of a file or folder."""
        self._call(f"set the permission of {path}", lambda: self.client.set_permission(path, permission))

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes | None:
        """Content of a file (from `offset`, at most `length` bytes); None when it does not exist."""

        def load() -> bytes:
            try:
                with self.client.read(path, offset=offset, length=length) as reader:
                    return bytes(reader.read())
            except urllib3.exceptions.HTTPError as error:  # the connection broke within the body
                raise requests.ConnectionError(error) from None

        return self._call(f"read {path}", lambda: _unless_missing(load))

    def stream(self, path: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Content of a file (from `offset`, at most `length` bytes) in chunks. Raises NotFound when it does not exist."""
        try:
            with self.client.read(path, offset=offset, length=length, chunk_size=_CHUNK) as reader:
                yield from reader
        except (HdfsError, requests.RequestException) as error:
            raise webhdfs_error(self.http, error, f"read {path}") from None

    def write(
        self,
        path: str,
        data: Data,
        *,
        permission: str = "600",
        replication: int | None = None,
    ) -> None:
        """Create a file; an existing one is not replaced. A reader may see a part of it: see `publish`.

        Raises:
            RequestRefused: with exception FileAlreadyExistsException when the file exists.
        """
        action = f"write {path}"
        try:
            self.client.write(path, data=data, overwrite=False, permission=permission, replication=replication)
        except (HdfsError, requests.RequestException) as error:
            raise webhdfs_error(self.http, error, action) from None
        except KeyError as error:  # a reply to CREATE without Location: not WebHDFS
            if error.args != ("location",):
                raise
            raise webhdfs_error(self.http, error, action) from None

    def publish(
        self,
        path: str,
        data: Callable[[], Data] | bytes,
        *,
        permission: str = "600",
        replication: int | None = None,
    ) -> bool:
        """Create a complete file if `path` is free: write it under a temporary name in the same folder, then rename it.

        A reader never sees a part of the file; of several writers one wins.

        Args:
            path: the file.
            data: its content, or a function that opens it for each try.
            permission: octal.
            replication: None: HDFS's default.

        Returns:
            True when this call created the file, False when it existed.

        Raises:
            RequestRefused: `path` is a folder, or HDFS refuses.
        """
        temporary = self._write_temporary(path, data, permission, replication)
        try:
            won = self.rename_new(temporary, path)
            if won:
                self._check_landed(temporary, path)
        except BaseException:
            self._delete_quietly(temporary)
            raise
        if not won:
            self._delete_quietly(temporary)
        return won

    def replace(self, path: str, data: bytes, *, permission: str = "600") -> None:
        """Create a complete file or replace an existing one. Of several writers, the complete content of one stays.

        A NameNode replaces atomically: a reader sees the old file or the new one. HttpFS cannot: the old file is deleted and
        the new one renamed, and a reader finds no file in between. `read_replaced` waits for it.

        Raises:
            RequestRefused: `path` is a folder, or HDFS refuses.
        """
        temporary = self._write_temporary(path, data, permission, None)
        try:
            self._call(f"rename {temporary} to {path}", lambda: self._rename_over(temporary, path))
            self._check_landed(temporary, path)
        except BaseException:
            self._delete_quietly(temporary)
            raise

    def read_replaced(self, path: str, *, clock: Clock = time) -> bytes | None:
        """Content of a file that another caller may be replacing; None when it does not exist.

        Args:
            path: the file.
            clock: for the pauses, at most two seconds in all.
        """
        beginning = f".{posixpath.basename(path)}."
        for _ in range(20):
            found = self.read(path)
            if found is not None:
                return found
            others = self.list(posixpath.dirname(path))
            if not any(each.name.startswith(beginning) and each.name.endswith(".tmp") for each in others):
                return self.read(path)  # renamed between the two requests
            clock.sleep(0.1)
        return None

    def _write_temporary(
        self,
        path: str,
        data: Callable[[], Data] | bytes,
        permission: str,
        replication: int | None,
    ) -> str:
        """Write a temporary file into the folder of `path`; its path.

        Each try has a name of its own: the file of an earlier one may still be open for writing.
        """
        earlier: list[str] = []

        def put() -> str:
            for other in earlier:
                self._delete_quietly(other)
            earlier.append(f"{posixpath.dirname(path)}/.{posixpath.basename(path)}.{secrets.token_hex(8)}.tmp")
            self.write(earlier[-1], data() if callable(data) else data, permission=permission, replication=replication)
            return earlier[-1]

        try:
            # An upload may take longer than the budget of the retry policy: its tries are counted instead.
            return replace(self.retry, tries=_UPLOAD_TRIES).call(put, idempotent=True)
        except BaseException:
            for other in earlier:
                self._delete_quietly(other)
            raise

    def _rename_over(self, temporary: str, path: str) -> None:
        try:
            reply = self.session.operate("PUT", temporary, op="RENAME", destination=path, renameoptions="OVERWRITE")
        except HdfsError as error:
            if error.exception == _NOT_THERE and self._exists(path):
                return  # an earlier try renamed it; its reply was lost
            raise
        if flag(reply, missing=True):
            return
        for _ in range(_REPLACE_TRIES):  # HttpFS ignores the option and renames only to a free name
            if not self._exists(temporary):
                if self._exists(path):
                    return  # an earlier try renamed it; its reply was lost
                raise HdfsError(f"{temporary} is gone", exception=_NOT_THERE)
            self.client.delete(path)
            if self._rename(temporary, path):
                return
        raise HdfsError(f"others replace {path} all the time", exception="RetriableException")

    def _rename(self, source: str, target: str) -> bool:
        """RENAME; the boolean of the reply."""
        try:
            self.client.rename(source, target)
        except HdfsError as error:
            if isinstance(error, Refusal) or error.exception:
                raise
            return False  # the library raises an error without an exception of Hadoop's for a reply of `false`
        return True

    def _check_landed(self, source: str, target: str) -> None:
        """Refuse a target that is a folder: the rename has moved the source into it."""
        found = self.status(target)
        if found is not None and found.folder:
            self._delete_quietly(f"{target}/{posixpath.basename(source)}")
            raise RequestRefused(
                f"write {target}: it is a folder on HDFS at {self.address}, where a file belongs",
                exception="PathIsDirectoryException", address=self.address, action=f"write {target}",
            )  # fmt: skip

    def mark(self, path: str) -> None:
        """Make an empty file, unless it exists or another caller is making it."""

        def put() -> None:
            try:
                self.write(path, b"")
            except RequestRefused as error:
                if error.exception not in {"FileAlreadyExistsException", "AlreadyBeingCreatedException"}:
                    raise

        self.retry.call(put, idempotent=True)

    def rename_new(self, source: str, target: str) -> bool:
        """Rename to a free name; False when it is taken. Atomic: of several callers one gets True.

        A reply of `false` may also mean that an earlier try renamed the source and its reply was lost. Source and target are
        checked then; names of sources are never used twice.

        Raises:
            NotFound: the source, or the folder of the target, does not exist.
        """

        def call() -> bool:
            if self._rename(source, target):
                return True
            taken = self._exists(target)
            if not self._exists(source):
                if taken:
                    return True
                raise HdfsError(f"{source} is not there", exception=_NOT_THERE)
            if taken:
                return False
            if not self._exists(posixpath.dirname(target)):
                raise HdfsError(f"{posixpath.dirname(target)} is not there", exception=_NOT_THERE)
            raise HdfsError(f"{source} was not moved to {target}", exception="RetriableException")

        return self._call(f"rename {source} to {target}", call)

    def rename_once(self, source: str, target: str) -> bool:
        """Rename to a free name by one request, which is never repeated; the boolean of the reply.

        Raises:
            ConnectionFailed, ServiceUnavailable: it is not known whether the source was or will be renamed.
        """
        return self._once(
            f"rename {source} to {target}",
            lambda: flag(self.session.operate("PUT", source, once=True, op="RENAME", destination=target)),
        )

    def delete(self, path: str, recursive: bool = False) -> bool:
        """Delete; False when it did not exist."""
        return self._call(f"delete {path}", lambda: bool(self.client.delete(path, recursive=recursive)))

    def home(self) -> str:
        """The user's home folder, as the NameNode names it."""
        # A client caches the home folder; a new one requests it.
        return str(self._call("get the home folder", lambda: self._new_client().resolve(".")))

    def _new_client(self) -> Client:
        # The session sets the time-outs: they may change.
        return Client(ANY_NAMENODE, session=self.session)

    def _exists(self, path: str) -> bool:
        return _unless_missing(lambda: self.client.status(path)) is not None

    def _delete_quietly(self, path: str) -> None:
        """Delete a temporary file; a failure is ignored, as names are never used twice."""
        with contextlib.suppress(KnitError):
            self._once(f"delete {path}", lambda: self.client.delete(path))

    def _call(self, action: str, call: Callable[[], T]) -> T:
        return self.retry.call(lambda: self._once(action, call), idempotent=True)

    def _once(self, action: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except (HdfsError, requests.RequestException, KeyError, TypeError) as error:
            raise webhdfs_error(self.http, error, action) from None


def _unless_missing(call: Callable[[], T]) -> T | None:
    """The answer; None when HDFS has no such file."""
    try:
        return call()
    except HdfsError as error:
        if error.exception == _NOT_THERE:
            return None
        raise


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
