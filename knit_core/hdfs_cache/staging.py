"""Staging: uploads a plan's files to HDFS, addressed by content: a file that is there is not uploaded again.

`<staging>/cache/<sha256>/<name>`: an entry is written once under a temporary name, renamed, and never changed again, since
YARN identifies a localised file by path and modification time. `<staging>` has mode 700: YARN localises PRIVATE files as
the user. A launch takes leases on entries before it checks whether they are there (`knit_core.hdfs_cache.leases`).
Environments may be in a cache that users share (`knit_core.hdfs_cache.shared_cache`).
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import stat
import threading
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from knit_core.errors import ConfigError, KnitError, NotAuthorized, StagingError
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.ownership import check_staging
from knit_core.hadoop.webhdfs import WebHdfs
from knit_core.hdfs_cache.leases import Leases, entry_of, withdraw
from knit_core.hdfs_cache.shared_cache import SharedCache
from knit_core.model.cluster_facts import FileStatus
from knit_core.model.upload import Upload
from knit_core.spec import ApplicationSpec, FileType
from knit_core.spec.files import same_filesystem

Progress = Callable[[str, int, int], None]  # name, bytes sent, bytes in all
_CHUNK = 1 << 20
_PARALLEL = 6


class Staging:
    """The staging folder of one user."""

    def __init__(
        self, hdfs: WebHdfs, folder: str, replication: int | None = None, shared: SharedCache | None = None
    ) -> None:
        self.hdfs, self.folder, self.replication, self.shared = hdfs, folder, replication, shared
        self.leases = Leases(hdfs, f"{folder}/leases")
        self._ready = False

    @classmethod
    def of(cls, cluster: Cluster) -> Staging:
        """The staging folder of the cluster's user, with the shared cache where one is set."""
        config, hdfs = cluster.config, cluster.hdfs
        replication = config.get("replication")
        root = (config.get("shared_cache") or "").rstrip("/")
        trusted = tuple((config.get("shared_trust") or "").replace(",", " ").split())
        shared = SharedCache(hdfs, root, config.user, trusted) if root else None
        return cls(hdfs, config.staging, int(replication) if replication else None, shared)

    def prepare(self) -> None:
        """Make the folder with mode 700.

        Raises:
            StagingError: it cannot be made, belongs to another user, or other users may write there.
        """
        if self._ready or self.check():
            return
        try:
            for name in ("", "/cache", "/apps", "/launches", "/leases"):
                self.hdfs.mkdirs(self.folder + name, "700")
        except KnitError as error:
            if error.transient:
                raise
            raise StagingError(
                f"The staging folder {self.folder} cannot be made on HDFS: {error}. Ask for a home folder on HDFS, "
                "or set KNIT_STAGING to a folder that you may write to."
            ) from None
        self.check()  # in a folder that is writable for all users, another user may have made it

    def check(self) -> bool:
        """Check the folder's owner and mode, once; False when it does not exist yet.

        Raises:
            StagingError: it belongs to another user, or other users may write there.
        """
        if not self._ready:
            self._ready = check_staging(self.hdfs, self.folder)
        return self._ready

    def place(self, files: dict[str, Upload], spec: ApplicationSpec) -> dict[str, Upload]:
        """The files; environments among them are placed in the shared cache if one is set."""
        if self.shared is None:
            return files
        archives = {s.environment.archive for s in spec.services.values() if s.environment}
        shared = self.shared
        return {path: shared.place(upload) if path in archives else upload for path, upload in files.items()}

    def reserve(self, app_id: str, uploads: Iterable[Upload], remotes: Iterable[str] = ()) -> None:
        """Write leases of the application, so that pruning keeps these entries. Call it before `find`.

        Args:
            app_id: the application; `leases.PUSHED` for a later one.
            uploads: files that it needs in the cache.
            remotes: paths on HDFS of files that it uses in place; those in a cache get leases, too.

        Raises:
            StagingError: another user is removing an entry.
        """
        self.prepare()
        wanted: dict[str, set[str]] = defaultdict(set)  # digests by the folder that contains their cache
        for upload in uploads:
            wanted[upload.root or self.folder].add(upload.sha256)
        for base, digest in filter(None, map(entry_of, remotes)):
            wanted[base].add(digest)
        for base, digests in wanted.items():
            if self._lease(base, digests, app_id):
                withdraw(self.hdfs, base, digests)

    def _lease(self, base: str, digests: Iterable[str], app_id: str) -> bool:
        """Take leases on entries of `<base>/cache`; False when this user may not take leases there."""
        if base == self.folder:
            self.leases.take(digests, app_id)
            return True
        if self.shared is not None and posixpath.dirname(base) == self.shared.root:
            self.shared.prepare()
            Leases(self.hdfs, self.shared.leases).take(digests, app_id)
            return True
        # an entry given by URL: in another shared cache, or in another staging folder
        for folder in (f"{posixpath.dirname(base)}/leases", f"{base}/leases"):
            try:
                if self.hdfs.status(folder) is not None:
                    Leases(self.hdfs, folder).take(digests, app_id)
                    return True
            except NotAuthorized:
                continue
        return False

    def find(self, uploads: Iterable[Upload], remotes: Iterable[str]) -> tuple[dict[str, FileStatus], list[Upload]]:
        """The status of existing files by HDFS path, and the uploads that are missing.

        Raises:
            StagingError: an entry has a wrong size, or a file that is used in place is missing.
        """
        wanted = list(uploads)
        paths = [upload.remote(self.folder) for upload in wanted]
        places = list(remotes)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            ready = pool.submit(self.prepare)
            statuses = list(pool.map(self.hdfs.status, [*paths, *places]))
            ready.result()
        there: dict[str, FileStatus] = {}
        missing = []
        for upload, path, status in zip(wanted, paths, statuses, strict=False):
            if status is None:
                missing.append(upload)
            else:
                there[path] = self._checked(upload, status)
        for path, status in zip(places, statuses[len(paths) :], strict=True):
            if status is None:
                raise StagingError(f"{path} is not on HDFS at {self.hdfs.address}")
            there[path] = status
        return there, missing

    def put(self, uploads: list[Upload], progress: Progress | None = None) -> dict[str, FileStatus]:
        """Upload files in parallel; status by HDFS path. The first failure, or Ctrl-C, stops all of them."""
        stop = threading.Event()
        with ThreadPoolExecutor(_PARALLEL) as pool:
            running = [pool.submit(self._put_one, upload, progress, stop) for upload in uploads]
            try:
                done = [future.result() for future in running]
            except BaseException:
                stop.set()
                raise
        return {status.path: status for status in done}

    def _put_one(self, upload: Upload, progress: Progress | None, stop: threading.Event) -> FileStatus:
        path = upload.remote(self.folder)
        if self.shared is not None and upload.root:
            self.shared.make_entry(upload)
        # otherwise publish makes the folder (below one of mode 700); of two writers of the same content one rename wins
        permission = "644" if upload.root else "600"
        self.hdfs.publish(
            path, lambda: _content(upload, progress, stop), permission=permission, replication=self.replication
        )
        status = self.hdfs.status(path)
        if status is None:
            raise StagingError(
                f"{path} was deleted right after its upload: check whether a job deletes files in {self.folder}"
            )
        return self._checked(upload, status)

    def _checked(self, upload: Upload, status: FileStatus) -> FileStatus:
        if status.size != upload.size:
            raise StagingError(
                f"{status.path} on HDFS has {status.size} bytes where {upload.size} were expected: another program wrote "
                f"there. Delete that folder (hdfs dfs -rm -r {posixpath.dirname(status.path)}) and launch again."
            )
        return status


def _content(upload: Upload, progress: Progress | None, stop: threading.Event) -> Iterator[bytes] | bytes:
    if not upload.path:
        return upload.data
    return _read(upload, progress, stop)


def _read(upload: Upload, progress: Progress | None, stop: threading.Event) -> Iterator[bytes]:
    """The file's bytes. The digest is checked at the end: a file that changes during the upload is not published."""
    digest, sent = hashlib.sha256(), 0
    with Path(upload.path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            if stop.is_set():
                raise StagingError(f"the upload of {upload.path} was stopped")
            digest.update(chunk)
            sent += len(chunk)
            yield chunk
            if progress:
                progress(upload.name, sent, upload.size)
    if digest.hexdigest() != upload.sha256:
        raise StagingError(
            f"{upload.path} changed during the upload, or is damaged on disk: launch again when it is complete; "
            "if Knit made it, delete it, and Knit makes it again"
        )


_digests: dict[tuple[str, int, int, int], str] = {}
_digests_lock = threading.Lock()
_DIGESTS = 4096  # maximum number: a process may launch for weeks with ever new files


def inspect(path: str, known: str = "") -> Upload:
    """An Upload for a local file, its digest computed once per process and file state.

    Args:
        path: local file.
        known: its SHA-256, if it is known already.

    Raises:
        StagingError: it does not exist, is not readable, or is not a regular file.
    """
    place = Path(path).expanduser()
    try:
        state = place.stat()
        if stat.S_ISDIR(state.st_mode):
            raise StagingError(f"{path} is a folder: pass an archive of it (.zip or .tar.gz; YARN unpacks it)")
        if not stat.S_ISREG(state.st_mode):
            raise StagingError(f"{path} is not a regular file")
        key = (str(place.resolve()), state.st_size, state.st_mtime_ns, state.st_ino)
        digest = known or _digests.get(key)
        if not digest:
            with place.open("rb") as stream:
                digest = _digest(stream)
            with _digests_lock:
                if len(_digests) >= _DIGESTS:
                    _digests.clear()
                _digests[key] = digest
    except FileNotFoundError:
        raise StagingError(f"{path} does not exist (looked for {place.absolute()})") from None
    except OSError as error:
        raise StagingError(f"{path} cannot be read: {error.strerror}") from None
    return Upload(_safe_name(place.name), digest, state.st_size, path=str(place))


def _digest(stream: io.BufferedReader) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _safe_name(name: str) -> str:
    """A file name that is safe on HDFS and in URLs, with the suffix by which YARN recognises archives."""
    safe = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in name)
    return safe if safe.strip(".") else "file"


def gather(spec: ApplicationSpec, filesystem: str) -> tuple[dict[str, Upload], list[str]]:
    """Uploads of all local files in a specification, and their problems, one sentence each.

    Args:
        spec: what to run.
        filesystem: `hdfs://…` that the nodes use; files that are used in place must be there.
    """
    files: dict[str, Upload] = {}
    problems: list[str] = []

    def take(path: str, known: str = "") -> None:
        try:
            files.setdefault(path, inspect(path, known))
        except StagingError as error:
            problems.append(str(error))

    def in_place(url: str) -> None:
        if not same_filesystem(url, filesystem):
            problems.append(f"{url} is not on the cluster's filesystem {filesystem}")

    for service in spec.services.values():
        for file in service.files:
            if file.remote:
                in_place(file.source)
            else:
                take(file.path)
        environment = service.environment
        if environment is not None and environment.kind == "archive":
            if "://" in environment.archive:
                in_place(environment.archive)
            else:
                take(environment.archive, environment.sha256)
    return files, list(dict.fromkeys(problems))


def archives_of(spec: ApplicationSpec, files: Mapping[str, Upload]) -> list[Upload]:
    """The local archives that YARN would unpack, without those that Knit built itself (their digest is known)."""
    wanted = [
        f.path for s in spec.services.values() for f in s.files if f.yarn_type is FileType.ARCHIVE and not f.remote
    ]
    wanted += [s.environment.archive for s in spec.services.values() if s.environment and not s.environment.sha256]
    return [files[path] for path in dict.fromkeys(wanted) if path in files]


def master_jar() -> Upload:
    """The ApplicationMaster's jar from the installed package.

    Raises:
        ConfigError: the jar was not built.
    """
    path = Path(__file__).parents[1] / "jars" / "knit-am.jar"
    if not path.is_file():
        raise ConfigError(
            f"The ApplicationMaster's jar was not built ({path} is missing): install Knit with pip, "
            "or in a source tree run: python hatch_build.py (needs a JDK and Maven)"
        )
    return inspect(str(path))


_zip: list[Upload] = []


def container_zip() -> Upload:
    """`knit_container` as a zip from which Python can import; the same source gives the same bytes."""
    if not _zip:
        import knit_container

        folder = Path(next(iter(knit_container.__path__)))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.glob("*.py")):
                entry = zipfile.ZipInfo(f"knit_container/{path.name}", (2020, 1, 1, 0, 0, 0))
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, path.read_bytes())
        _zip.append(Upload.of("knit-container.zip", buffer.getvalue()))
    return _zip[0]


__all__ = ["Progress", "Staging", "archives_of", "container_zip", "gather", "inspect", "master_jar"]
