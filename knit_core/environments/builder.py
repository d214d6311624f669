"""Building environments: source -> (cache) -> solve -> (cache) -> install -> pack -> publish.

The result of each step is kept by a key of everything that it depends on, so that no step is repeated. The kinds of input
are in `inputs`, the ways to solve and install in `solve`; neither is distinguished here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knit_core.environments.cache import ARCHIVE_NAME, LOCK_FILE, Cache, default_cache_dir
from knit_core.environments.dry_run import EnvironmentPlan
from knit_core.environments.errors import BadArchive, BadLock, DiskFull, EnvironmentFailed
from knit_core.environments.inputs.environment_input import EnvironmentInput, StrPath
from knit_core.environments.platforms import runs_here
from knit_core.environments.progress import Progress, ProgressCallback, Stage, silent
from knit_core.environments.solve.request import SOLVERS, Request
from knit_core.model.environment import Environment, PackageVersion, checked_name, utc
from knit_core.model.units import counted

if TYPE_CHECKING:
    from knit_core.environments.inputs.source import Source
    from knit_core.environments.pack.archive import OnPacked, Packed
    from knit_core.environments.solution import Solution


class EnvironmentBuilder:
    """Builds environments and keeps them in a cache on this machine. Several processes may use it at the same time."""

    def __init__(
        self, cache_dir: str | os.PathLike[str] | None = None, *, solver: str = "rattler", complete: bool = False
    ) -> None:
        """Builds nothing yet.

        Args:
            cache_dir: default: `~/.cache/knit/environments`.
            solver: "rattler" (py-rattler; needs no conda), or a program on the PATH: "conda", "mamba" or "micromamba".
            complete: whether to pack headers, type stubs, tests and manuals. They are always packed if a package compiles
                code at run time.
        """
        self._cache = Cache(Path(cache_dir).absolute() if cache_dir is not None else default_cache_dir())
        if solver not in SOLVERS:
            raise EnvironmentFailed(f"{solver!r} is not a solver: use one of {', '.join(SOLVERS)}")
        self._solver = solver
        self._complete = complete

    def create(
        self,
        name: str,
        packages: Sequence[str] = (),
        channels: Sequence[str] | None = None,
        *,
        pip: Sequence[str] = (),
        file: StrPath | None = None,
        prefix: StrPath | None = None,
        venv: StrPath | bool | None = None,
        archive: StrPath | None = None,
        path: str | None = None,
        python: str = "",
        variables: Mapping[str, str] | None = None,
        platform: str | None = None,
        progress: ProgressCallback | None = None,
        refresh: bool = False,
    ) -> Environment:
        """The described environment: from the cache if the same was built before, else built now.

        Describe it by packages, channels and pip together, or by one of file, prefix, venv, archive and path.

        Args:
            name: a label: letters, digits and `. _ + -`.
            packages: conda package specifications, like "python=3.11" or "numpy >=1.26,<3".
            channels: names, URLs or folders, the first with the highest priority; default: conda-forge. With `file`, they
                replace those of an environment.yml, and add their credentials to the addresses in a lock.
            pip: requirements in pip's syntax, installed on top from the index that pip or uv is configured for. Without
                packages and channels, on a relocatable copy of this machine's Python.
            file: environment.yml, requirements.txt, pyproject.toml or uv.lock (a project's dependencies), or a lock:
                conda-lock.yml, an `@EXPLICIT` list, pylock.toml, pixi.lock (its environment "default";
                `pixi.lock:NAME` is another one).
            prefix: an installed conda environment, by its folder or its name: see `pack_prefix`.
            venv: the folder of a virtual environment; True: the packages of the running Python.
            archive: a ready archive, local or `hdfs://…`: see `Environment.from_archive`.
            path: a folder that exists on every node: see `Environment.from_path`.
            python: its version ("3.12"), if `packages` do not have it. Without conda packages it is a Python of this
                machine; default: the running one.
            variables: environment variables to set, as in an environment.yml (`conda-meta/state`).
            platform: like "linux-64"; default: Linux on this machine's processor architecture.
            progress: called with each event, in the caller's thread.
            refresh: solve again although the same was built before, to get newer packages.

        Raises:
            BadEnvironmentName, BadPackageSpec, BadEnvironmentFile, BadArchive, PlatformMismatch: invalid input; nothing was
                built.
            BadLock: a lock cannot be read, or a package has another digest than in the lock.
            SolveError: a package does not exist, or the packages conflict.
            ChannelUnreachable: a channel or index could not be read (`transient`: try again).
            SolverMissing: the solver is not installed.
            DiskFull: no space for the cache.
            EnvironmentFailed: any other failure of the build; base class of all of these.
        """
        checked_name(name)
        given = EnvironmentInput(
            packages, channels, pip, file, venv, python, platform, variables or {}, prefix, archive, path
        )
        ready = given.ready_kind()
        if ready == "prefix":
            return self.pack_prefix(prefix or "", name=name, progress=progress)
        if ready:
            return given.ready_environment(name)
        source = given.source(self._cache, self._solver)
        key, emit = self._request_key(source), progress or silent
        if not refresh and (known := self._cache.find(key)):
            return self._finish(known, name, emit, "in the cache")
        return self._build_once(
            key, source.document(), name, emit, refresh, lambda: self._solve_and_build(source, name, emit)
        )

    def _build_once(
        self,
        key: str,
        document: dict[str, Any],
        name: str,
        emit: ProgressCallback,
        refresh: bool,
        build: Callable[[], Environment],
    ) -> Environment:
        """The environment of a request: from the cache, or built while this process holds the request's lock."""
        with disk_errors(self._cache.root):
            with self._cache.lock(key, on_wait=_on_wait(emit)):
                # the process that held the lock before may have built it
                if not refresh and (known := self._cache.find(key)):
                    return self._finish(known, name, emit, "in the cache")
                environment = build()
                self._cache.remember(key, document, environment)
            return self._finish(environment, name, emit, f"{environment.size / 1e6:.0f} MB")

    def plan(self, wanted: EnvironmentInput, *, progress: ProgressCallback | None = None) -> EnvironmentPlan:
        """What `create` would build: solves and downloads descriptions, builds nothing.

        To resolve pip packages on top of conda packages, it downloads and unpacks the conda packages.

        Raises what `create` does.
        """
        source = wanted.source(self._cache, self._solver)
        solution = self._solve(source, progress or silent)
        return EnvironmentPlan(source.key, solution, self._cache.find_built(self._environment_key(solution)))

    def lock(self, wanted: EnvironmentInput, *, progress: ProgressCallback | None = None) -> str:
        """The text of a lock file: conda-lock's YAML, or pylock.toml without conda packages.

        It has no credentials. Raises what `create` does; `BadLock` for input that cannot be locked.
        """
        from knit_core.environments.inputs.locks import lock_text

        source = wanted.source(self._cache, self._solver)
        if not isinstance(source, Request):
            raise BadLock(
                "Only packages, an environment.yml or requirements can be locked: this input is exact already"
            )
        return lock_text(self._solve(source, progress or silent), source.key)

    def check_lock(self, lock: StrPath, wanted: EnvironmentInput) -> None:
        """Raises `BadLock` if the lock file was made for another request. Needs no network."""
        source = wanted.source(self._cache, self._solver)
        locked = EnvironmentInput(file=lock, platform=wanted.platform).source(self._cache, self._solver)
        if getattr(locked, "request_key", "") != source.key:
            raise BadLock(
                f"{lock} does not answer the request any more, which was changed after it: run knit env lock … again"
            )

    def lock_inside(self, environment: Environment) -> str:
        """The lock of an environment of this cache (its conda-meta/knit.lock).

        Raises `BadArchive` if it was not built here.
        """
        try:
            return (Path(environment.archive).parent / LOCK_FILE).read_text()
        except OSError as error:
            raise BadArchive(
                f"{environment.name} ({environment.archive}) was not built here: no lock is known"
            ) from error

    def _solve(self, source: Source, emit: ProgressCallback) -> Solution:
        with disk_errors(self._cache.root), self._cache.work_folder() as work:
            with source.session(self._cache, work, emit) as session:
                return session.solve()

    def _request_key(self, source: Source) -> str:
        return f"{source.key}-complete" if self._complete else source.key

    def _environment_key(self, solution: Solution) -> str:
        from knit_core.environments.pack.archive import packing

        return solution.key(packing(bytecode=runs_here(solution.platform), complete=self._complete))

    def pack_prefix(
        self, prefix: str | os.PathLike[str], *, name: str = "", progress: ProgressCallback | None = None
    ) -> Environment:
        """The environment of a conda prefix that is installed on this machine, as it is now.

        Nothing is packed if no file has changed since the last call. The prefix is only read.

        Args:
            prefix: the folder, like `~/miniconda3/envs/science` or `$CONDA_PREFIX`, or conda's name for it.
            name: a label; default: the folder's name.
            progress: called with each event, in the caller's thread.

        Raises:
            BadEnvironmentName: the label is invalid.
            BadArchive: no conda environment, editable packages (their files are in other folders), unreadable files, or
                links to folders outside.
            PrefixChanged: files changed while it was packed; call again.
            DiskFull, EnvironmentFailed: as for `create`.
        """
        from knit_core.environments.inputs.prefix import prefix_folder
        from knit_core.environments.pack.prefix import check_prefix, fingerprint

        folder = prefix_folder(prefix)
        name = checked_name(name or folder.name)
        check_prefix(folder)
        emit = progress or silent
        key = fingerprint(folder, complete=self._complete)
        return self._build_once(
            key, {"prefix": str(folder)}, name, emit, False, lambda: self._pack_prefix(folder, name, emit)
        )

    def list(self) -> list[Environment]:
        """The environments of this cache, by name."""
        return self._cache.named()

    def get(self, name: str) -> Environment | None:
        """The newest environment with this name, if its archive is in the cache."""
        return next((environment for environment in self._cache.named() if environment.name == name), None)

    def _solve_and_build(self, source: Source, name: str, emit: ProgressCallback) -> Environment:
        from knit_core.environments.pack.solution import SolutionPacker

        with self._cache.work_folder() as work, source.session(self._cache, work, emit) as session:
            solution = session.solve()
            key = self._environment_key(solution)
            with self._cache.lock(key, on_wait=_on_wait(emit)):
                if built := self._cache.find_built(key):
                    return built
                prefix = session.install()
                if solution.variables:  # conda keeps them there too
                    state = {"version": 1, "env_vars": dict(solution.variables)}
                    self._cache.write_json(prefix / "conda-meta" / "state", state)
                result, scratch = _folders(work)
                packer = SolutionPacker(
                    prefix,
                    session.embedded,
                    solution,
                    members=self._cache.members,
                    scratch=scratch,
                    bytecode=solution.python is not None and runs_here(solution.platform),
                    complete=self._complete,
                )
                packed = packer.write(result / ARCHIVE_NAME, _on_packed(emit))
                return self._publish(name, key, result, packed, solution, solution.packages_with(packed.sizes))

    def _pack_prefix(self, prefix: Path, name: str, emit: ProgressCallback) -> Environment:
        from knit_core.environments.pack.prefix import PrefixPacker

        with self._cache.work_folder() as work:
            result, scratch = _folders(work)
            packer = PrefixPacker(prefix, members=self._cache.members, scratch=scratch, complete=self._complete)
            packed = packer.write(result / ARCHIVE_NAME, _on_packed(emit))
            # Files may have been changed by hand, so only the archive's bytes identify its contents.
            key = packed.sha256
            with self._cache.lock(key):
                if built := self._cache.find_built(key):
                    return built
                return self._publish(name, key, result, packed, packer.solution, packer.solution.packages)

    def _publish(
        self,
        name: str,
        key: str,
        result: Path,
        packed: Packed,
        solution: Solution,
        packages: tuple[PackageVersion, ...],
    ) -> Environment:
        environment = Environment(
            name=name,
            archive=self._cache.archive_path(key),
            key=key,
            sha256=packed.sha256,
            size=packed.size,
            platform=solution.platform,
            python=solution.python.version if solution.python else "",
            packages=packages,
            created=utc(time.time()),
        )
        (result / LOCK_FILE).write_bytes(solution.lock())
        self._cache.write_json(result / "environment.json", environment.to_dict())
        self._cache.publish(result, key)
        return environment

    def _finish(self, environment: Environment, name: str, emit: ProgressCallback, how: str) -> Environment:
        environment = environment.renamed(name)
        self._cache.remember_name(environment)
        emit(Progress(Stage.DONE, f"{name}: {counted(len(environment.packages), 'package')}, {how}"))
        return environment


def _folders(work: Path) -> tuple[Path, Path]:
    """Folders for the result and for its parts."""
    result, scratch = work / "result", work / "scratch"
    result.mkdir()
    scratch.mkdir()
    return result, scratch


def _on_packed(emit: ProgressCallback) -> OnPacked:
    return lambda what, done, total: emit(Progress(Stage.PACK, what, done, total))


def _on_wait(emit: ProgressCallback) -> Callable[[str], None]:
    return lambda owner: emit(Progress(Stage.WAIT, f"process {owner or '?'} builds the same environment"))


@contextlib.contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turns an `OSError` for a full disk into `DiskFull`."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise DiskFull(f"No space is left for environments in {root} ({error.strerror})") from error
        raise
