"""The cache of built environments on this machine: where things lie, who may write, what a crash leaves behind.

    <root>/requests/<request key>.json      request -> Environment; the fast path reads only this
    <root>/names/<name>.json                the newest Environment of each name, for lists
    <root>/environments/<key>/              environment.tar.gz and environment.json, complete from the first moment on
    <root>/members/<key>.gz                 packed packages, put together into archives
    <root>/packages/, repodata/             the solver's own caches
    <root>/work/                            a folder and a lock file for each running build
    <root>/locks/                           who builds what

Everything appears by renaming, so a killed build leaves nothing but its work folder, and the next build removes that:
its lock is free then, because the kernel frees the locks of a dead process.
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


def default_cache_dir() -> Path:
    """`$XDG_CACHE_HOME/knit/environments`, usually `~/.cache/knit/environments`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "knit" / "environments"


class Cache:
    """One cache folder; any number of processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packages = root / "packages"
        self.repodata = root / "repodata"
        self.members = root / "members"

    # -- results

    def find(self, request_key: str) -> Environment | None:
        """The environment of a request that was built before and is still complete."""
        return _complete(_read_json(self.root / "requests" / f"{request_key}.json"))

    def find_built(self, key: str) -> Environment | None:
        """The environment with this key, however it was asked for."""
        return _complete(_read_json(self.root / "environments" / key / "environment.json"))

    def remember(self, request_key: str, request: dict[str, Any], environment: Environment) -> None:
        """Notes that the request gave this environment."""
        path = self.root / "requests" / f"{request_key}.json"
        self.write_json(path, {**environment.to_dict(), "request": request})

    def remember_name(self, environment: Environment) -> None:
        """Notes the name, unless it stands for this environment already, and that the environment is in use."""
        with contextlib.suppress(OSError):
            os.utime(Path(environment.archive).parent)
        path = self.root / "names" / f"{environment.name}.json"
        document = environment.to_dict()
        if _read_json(path) != document:
            self.write_json(path, document)

    def named(self) -> list[Environment]:
        """All named environments that are complete, by name."""
        files = sorted((self.root / "names").glob("*.json"))
        found = (_complete(_read_json(file)) for file in files)
        return [environment for environment in found if environment is not None]

    def publish(self, folder: Path, key: str) -> Path:
        """Makes a finished folder (archive and environment.json) the environment `key`; returns where it is now."""
        target = self.root / "environments" / key
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # an incomplete one: nobody who checks would use it
            shutil.rmtree(target)
        folder.rename(target)
        return target

    def archive_path(self, key: str) -> Path:
        """Where the archive of an environment is once it is published."""
        return self.root / "environments" / key / ARCHIVE_NAME

    def read(self, note: Path) -> Environment | None:
        """The environment that a note describes, if it is complete."""
        return _complete(_read_json(note))

    def write_json(self, path: Path, document: dict[str, Any]) -> None:
        """Writes a file that others see whole or not at all."""
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
        """Holds the named lock; `on_wait(pid)` is called once when another process has it.

        The lock ends with its process, whatever way that ends, so waiting ends when the other one is done or dead.
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
        """An empty folder for one build, removed at the end; also removes what builds that were killed have left."""
        work = self.root / "work"
        work.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            with self.lock("work"):  # between making the lock file and locking it, nobody may sweep
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
    """Removes the work folders whose process is gone."""
    for folder in [path for path in work.iterdir() if path.is_dir()]:
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
    """The described environment, when its archive is there with its full size."""
    if document is None:
        return None
    try:
        environment = Environment.from_dict(document)
        present = Path(environment.archive).stat().st_size == environment.size
    except (OSError, KeyError, TypeError):
        return None
    return environment if present else None
