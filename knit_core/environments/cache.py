"""The cache of built environments on this machine: its folders, its locks, its state after a crash.

    <root>/requests/<request key>.json      request -> Environment; a cached environment is found by this file alone
    <root>/names/<name>.json                the newest Environment of each name, for lists
    <root>/environments/<key>/              environment.tar.gz and environment.json
    <root>/members/<key>.gz                 packed packages, concatenated to archives
    <root>/packages/, repodata/             the solver's own caches
    <root>/work/                            a folder and a lock file for each running build
    <root>/locks/                           a lock file for each request and environment that is built

Files and folders get their final name by renaming when they are complete. A killed build leaves only its work folder.
The next build removes it: its lock is free, because the kernel releases the locks of a dead process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from knit_core.model.environment import Environment

ARCHIVE_NAME = "environment.tar.gz"
LOCK_FILE = "knit.lock"

#: Part of every request's key: raise it when the archive of the same request changes.
REQUEST_FORMAT = 2


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/knit/environments`, usually `~/.cache/knit/environments`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "knit" / "environments"


class Cache:
    """One cache folder. Any number of processes may use it at the same time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packages = root / "packages"
        self.repodata = root / "repodata"
        self.members = root / "members"

    # -- results

    def find(self, request_key: str) -> Environment | None:
        """The environment that this request was built to, if it is still complete."""
        return _complete(_read_json(self.root / "requests" / f"{request_key}.json"))

    def find_built(self, key: str) -> Environment | None:
        """The environment with this key, for whichever request it was built."""
        return _complete(_read_json(self.root / "environments" / key / "environment.json"))

    def remember(self, request_key: str, request: dict[str, Any], environment: Environment) -> None:
        """Records that the request was built to this environment."""
        path = self.root / "requests" / f"{request_key}.json"
        self.write_json(path, {**environment.to_dict(), "request": request})

    def remember_name(self, environment: Environment) -> None:
        """Records the environment's name and, by its folder's time, that it is used now."""
        with contextlib.suppress(OSError):
            os.utime(Path(environment.archive).parent)
        path = self.root / "names" / f"{environment.name}.json"
        document = environment.to_dict()
        if _read_json(path) != document:
            self.write_json(path, document)

    def named(self) -> list[Environment]:
        """All named environments that are complete, sorted by name."""
        files = sorted((self.root / "names").glob("*.json"))
        found = (_complete(_read_json(file)) for file in files)
        return [environment for environment in found if environment is not None]

    def publish(self, folder: Path, key: str) -> Path:
        """Renames a finished folder (archive and environment.json) to the environment `key`; its new path."""
        target = self.root / "environments" / key
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # incomplete, else `find_built` had returned it
            shutil.rmtree(target)
        folder.rename(target)
        return target

    def archive_path(self, key: str) -> Path:
        """The path of an environment's archive after `publish`."""
        return self.root / "environments" / key / ARCHIVE_NAME

    def read(self, file: Path) -> Environment | None:
        """The environment that a JSON file of the cache describes, if it is complete."""
        return _complete(_read_json(file))

    def write_json(self, path: Path, document: dict[str, Any]) -> None:
        """Writes a file atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", suffix=".tmp", delete=False) as file:
            try:
                json.dump(document, file)
                file.flush()
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    # -- running builds

    @contextlib.contextmanager
    def lock(self, name: str, on_wait: Callable[[str], None] = lambda owner: None) -> Iterator[None]:
        """Holds the named lock. `on_wait(pid)` is called once if another process holds it.

        The kernel releases the lock when its process ends, so that no wait outlasts a dead process.
        """
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.lock").open("a+") as file:
            if not _try_lock(file):
                file.seek(0)
                on_wait(file.read().strip())
                fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    @contextlib.contextmanager
    def work_folder(self) -> Iterator[Path]:
        """An empty folder for one build, removed at the end. Folders of killed builds are removed first."""
        work = self.root / "work"
        work.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            with self.lock("work"):  # no other process may sweep before the new lock file is locked
                _sweep(work)
                folder = Path(tempfile.mkdtemp(dir=work))
                lock_file = folder.with_suffix(".lock")
                held = stack.enter_context(lock_file.open("w"))
                fcntl.flock(held, fcntl.LOCK_EX)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock_file.unlink(missing_ok=True)


def _sweep(work: Path) -> None:
    """Removes the work folders of processes that have ended, and lock files whose folder is removed already."""
    for folder in {path.with_suffix("") for path in work.iterdir()}:
        lock_file = folder.with_suffix(".lock")
        with lock_file.open("a") as file:
            if _try_lock(file):
                shutil.rmtree(folder, ignore_errors=True)
                lock_file.unlink(missing_ok=True)


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _complete(document: dict[str, Any] | None) -> Environment | None:
    """The described environment, if its archive exists with its full size."""
    if document is None:
        return None
    try:
        environment = Environment.from_dict(document)
        present = Path(environment.archive).stat().st_size == environment.size
    except (OSError, KeyError, TypeError):
        return None
    return environment if present else None
