"""Builds environments from conda packages, once.

The steps are request -> (cache) -> solve -> (cache) -> install -> pack -> publish; each result is kept under a key made
of everything that decides it, so whatever was done before is not done again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from knit_core.environments.cache import ARCHIVE_NAME, LOCK_FILE, Cache, default_cache_dir
from knit_core.environments.environment_input import BuildRequest, EnvironmentInput, StrPath
from knit_core.environments.errors import BadArchive, BadLock, BadPackageSpec, DiskFull, EnvironmentFailed
from knit_core.environments.plan import EnvironmentPlan
from knit_core.environments.progress import Progress, ProgressCallback, Stage, silent
from knit_core.environments.request import SOLVERS, Request, runs_here
from knit_core.model.environment import Environment, checked_name, utc
from knit_core.model.units import counted

if TYPE_CHECKING:
    from knit_core.environments.pack.packing import OnPacked, Packed
    from knit_core.environments.solution import Solution


class EnvironmentBuilder:
    """Makes environments and keeps them in a cache on this machine. Safe to use from several processes at once."""

    def __init__(
        self, cache_dir: str | os.PathLike[str] | None = None, *, solver: str = "rattler", complete: bool = False
    ) -> None:
        """Says where to keep things and who solves.

        Args:
            cache_dir: default: `~/.cache/knit/environments`.
            solver: "rattler" (py-rattler; no conda needed) or the program on the PATH called "conda", "mamba" or
                "micromamba".
            complete: whether headers, type stubs, tests and manuals travel, too (they do where something compiles).
        """
        self._cache = Cache(Path(cache_dir).absolute() if cache_dir is not None else default_cache_dir())
        if solver not in SOLVERS:
            raise EnvironmentFailed(f"{solver!r} is no solver: use one of {', '.join(SOLVERS)}")
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
        """The environment that is described: from the cache where the same was asked for before, else built now.

        Say what it has by packages, channels and pip together, or by one of file, prefix, venv, archive and path.

        Args:
            name: a label: letters, digits and `. _ + -`.
            packages: conda package specifications, like "python=3.11" or "numpy >=1.26,<3".
            channels: names, URLs or folders, the first with the highest priority; default: conda-forge. With `file`,
                they replace those of an environment.yml, and give their credentials to the addresses in a lock.
            pip: requirements as pip takes them, installed on top from the index that pip or uv is configured for. Without
                packages and channels, on a copy of this machine's Python that runs from any folder.
            file: environment.yml, requirements.txt, pyproject.toml or uv.lock (a project's dependencies), or a lock:
                conda-lock.yml, an `@EXPLICIT` list, pylock.toml, pixi.lock (its environment "default";
                `pixi.lock:NAME` is another one).
            prefix: a conda environment installed here, by its folder or its name: see `pack_prefix`.
            venv: True: what is installed for the running Python; or the folder of a virtual environment.
            archive: a ready archive, local or `hdfs://…`: see `Environment.from_archive`.
            path: a folder that is there on every node: see `Environment.from_path`.
            python: its version ("3.12"), where `packages` do not say it; without conda packages it is one of this
                machine; default: the running one.
            variables: set in the environment, as an environment.yml's are (`conda-meta/state`).
            platform: like "linux-64"; default: Linux on this machine's kind of processor.
            progress: called with each event, in the caller's thread.
            refresh: solve again, though the same was asked for before: newer packages may be there by now.

        Raises:
            BadEnvironmentName, BadPackageSpec, BadEnvironmentFile, BadArchive, PlatformMismatch: bad input; nothing done.
            BadLock: a lock cannot be read, or a package is not the one that it names.
            SolveError: no such package, or no set of packages that fits together.
            ChannelUnreachable: a channel or index could not be read (`transient` says whether to try again).
            SolverMissing: the solver is not installed here.
            DiskFull: no space for the cache.
            EnvironmentFailed: anything else that stopped the build; its base class.
        """
        checked_name(name)
        wanted = EnvironmentInput(packages, channels, pip, file, venv, python, platform, variables or {})
        others = {"prefix": prefix, "archive": archive, "path": path}
        if given := [key for key, value in others.items() if value is not None]:
            if len(given) > 1 or wanted.describes_packages:
                raise BadPackageSpec(
                    f"{given[0]}= is an environment already: give nothing else that says what is in it"
                )
            if prefix is not None:
                return self.pack_prefix(prefix, name=name, progress=progress)
            if path is not None:
                return Environment.from_path(path, name=name, platform=platform or "")
            return Environment.from_archive(archive or "", name=name, platform=platform or "")
        return self._create(wanted, name, progress or silent, refresh)

    def _create(self, wanted: EnvironmentInput, name: str, emit: ProgressCallback, refresh: bool) -> Environment:
        build_request = wanted.to_request(self._cache, self._solver)
        key = self._request_key(build_request)
        if not refresh and (known := self._cache.find(key)):
            return self._finished(known, name, emit, "in the cache")
        with disk_errors(self._cache.root):
            with self._cache.lock(key, on_wait=_waiting(emit)):
                # Whoever held the lock may have built it.
                if not refresh and (known := self._cache.find(key)):
                    return self._finished(known, name, emit, "in the cache")
                environment = self._solve_and_build(build_request, name, emit)
                self._cache.remember(key, build_request.document(), environment)
            return self._finished(environment, name, emit, f"{environment.size / 1e6:.0f} MB")

    def plan(self, wanted: EnvironmentInput, *, progress: ProgressCallback | None = None) -> EnvironmentPlan:
        """What `create` would build: solves and downloads descriptions, builds nothing.

        Where pip packages go on top of conda's, those are downloaded and unpacked to see what they bring.

        Raises what `create` does.
        """
        build_request = wanted.to_request(self._cache, self._solver)
        solution = self._solve(build_request, progress or silent)
        known = self._cache.find_built(self._key_of(solution))
        return EnvironmentPlan(build_request.key, solution, known)

    def lock(self, wanted: EnvironmentInput, *, progress: ProgressCallback | None = None) -> str:
        """The text of a lock file for what is wanted: conda-lock's YAML, or pylock.toml without conda packages.

        Credentials are not in it. Raises what `create` does; `BadLock` for what cannot be locked.
        """
        from knit_core.environments.inputs.locks import Lock, lock_text

        build_request = wanted.to_request(self._cache, self._solver)
        if not isinstance(build_request, Request):
            raise BadLock("Only packages, an environment.yml or requirements can be locked: this says it all already")
        return lock_text(Lock.of(self._solve(build_request, progress or silent), build_request.key))

    def check_lock(self, lock: StrPath, wanted: EnvironmentInput) -> None:
        """Raises `BadLock` when the lock file is not the answer to what is wanted now. Needs no network."""
        build_request = wanted.to_request(self._cache, self._solver)
        found = EnvironmentInput(file=lock, platform=wanted.platform).to_request(self._cache, self._solver)
        if getattr(found, "request_key", "") != build_request.key:
            raise BadLock(
                f"{lock} does not answer the request any more, which was changed after it: knit env lock … again"
            )

    def lock_inside(self, environment: Environment) -> str:
        """The lock that an environment of this cache carries (conda-meta/knit.lock in it).

        Raises `BadArchive` when it was not made here.
        """
        try:
            return (Path(environment.archive).parent / LOCK_FILE).read_text()
        except OSError as error:
            raise BadArchive(
                f"{environment.name} ({environment.archive}) was not built here: no lock is known"
            ) from error

    def _solve(self, build_request: BuildRequest, emit: ProgressCallback) -> Solution:
        from knit_core.environments.solve.sessions import open_session

        with disk_errors(self._cache.root), self._cache.work_folder() as work:
            with open_session(build_request, self._cache, work, emit) as session:
                return session.solve()

    def _request_key(self, build_request: BuildRequest) -> str:
        return f"{build_request.key}-complete" if self._complete else build_request.key

    def _key_of(self, solution: Solution) -> str:
        from knit_core.environments.pack.packing import packing

        return solution.key(packing(bytecode=runs_here(solution.platform), complete=self._complete))

    def pack_prefix(
        self, prefix: str | os.PathLike[str], *, name: str = "", progress: ProgressCallback | None = None
    ) -> Environment:
        """An environment from a conda prefix that is installed on this machine, as it is now.

        Nothing is packed when no file of it has changed since the last time. The prefix is only read.

        Args:
            prefix: the folder, like `~/miniconda3/envs/science` or `$CONDA_PREFIX`, or conda's name for it.
            name: a label; default: the folder's name.
            progress: called with each event, in the caller's thread.

        Raises:
            BadEnvironmentName: the label cannot be one.
            BadArchive: no conda environment, or one with editable packages, which are somewhere else, with files that
                cannot be read, or with links to folders outside.
            PrefixChanged: something was installed there meanwhile; call again.
            DiskFull, EnvironmentFailed: as for `create`.
        """
        from knit_core.environments.inputs.find_prefix import prefix_folder
        from knit_core.environments.pack.prefix import check_prefix, fingerprint

        folder = prefix_folder(prefix)
        name = checked_name(name or folder.name)
        check_prefix(folder)
        emit = progress or silent
        key = fingerprint(folder, complete=self._complete)
        with disk_errors(self._cache.root):
            with self._cache.lock(key, on_wait=_waiting(emit)):
                if known := self._cache.find(key):
                    return self._finished(known, name, emit, "in the cache")
                environment = self._pack_prefix(folder, name, emit)
                self._cache.remember(key, {"prefix": str(folder)}, environment)
            return self._finished(environment, name, emit, f"{environment.size / 1e6:.0f} MB")

    def list(self) -> list[Environment]:
        """The environments of this cache, by name."""
        return self._cache.named()

    def get(self, name: str) -> Environment | None:
        """The newest environment with this name, if its archive is in the cache."""
        return next((environment for environment in self._cache.named() if environment.name == name), None)

    def _solve_and_build(self, build_request: BuildRequest, name: str, emit: ProgressCallback) -> Environment:
        from knit_core.environments.pack.packing import Packer
        from knit_core.environments.solve.sessions import open_session

        with self._cache.work_folder() as work, open_session(build_request, self._cache, work, emit) as session:
            solution = session.solve()
            bytecode = runs_here(solution.platform)
            key = self._key_of(solution)
            with self._cache.lock(key, on_wait=_waiting(emit)):
                if built := self._cache.find_built(key):
                    return built
                installed = session.install()
                if solution.variables:  # where conda keeps them, too
                    state = {"version": 1, "env_vars": dict(solution.variables)}
                    self._cache.write_json(installed.prefix / "conda-meta" / "state", state)
                result, scratch = _folders(work)
                packer = Packer(
                    installed,
                    solution,
                    members=self._cache.members,
                    scratch=scratch,
                    bytecode=bytecode,
                    complete=self._complete,
                )
                packed = packer.write(result / ARCHIVE_NAME, _packed(emit))
                return self._publish(name, key, result, packed, solution)

    def _pack_prefix(self, prefix: Path, name: str, emit: ProgressCallback) -> Environment:
        from knit_core.environments.pack.prefix import PrefixPacker, whole_solution

        with self._cache.work_folder() as work:
            result, scratch = _folders(work)
            solution = whole_solution(prefix)
            packer = PrefixPacker(prefix, self._cache.members, scratch, self._complete)
            packed = packer.write(result / ARCHIVE_NAME, _packed(emit))
            # The archive's bytes are all that tells what is in it, as files may have been changed by hand.
            key = packed.sha256
            with self._cache.lock(key):
                if built := self._cache.find_built(key):
                    return built
                return self._publish(name, key, result, packed, solution)

    def _publish(self, name: str, key: str, result: Path, packed: Packed, solution: Solution) -> Environment:
        environment = Environment(
            name=name,
            archive=self._cache.archive_path(key),
            key=key,
            sha256=packed.sha256,
            size=packed.size,
            platform=solution.platform,
            python=solution.python.version if solution.python else "",
            packages=solution.packages_with(packed.sizes),
            created=utc(time.time()),
        )
        (result / LOCK_FILE).write_bytes(solution.lock())
        self._cache.write_json(result / "environment.json", environment.to_dict())
        self._cache.publish(result, key)
        return environment

    def _finished(self, environment: Environment, name: str, emit: ProgressCallback, how: str) -> Environment:
        environment = environment.renamed(name)
        self._cache.remember_name(environment)
        emit(Progress(Stage.DONE, f"{name}: {counted(len(environment.packages), 'package')}, {how}"))
        return environment


def _folders(work: Path) -> tuple[Path, Path]:
    """Where a result is put together, and where its parts are made."""
    result, scratch = work / "result", work / "scratch"
    result.mkdir()
    scratch.mkdir()
    return result, scratch


def _packed(emit: ProgressCallback) -> OnPacked:
    return lambda what, done, total: emit(Progress(Stage.PACK, what, done, total))


def _waiting(emit: ProgressCallback) -> Callable[[str], None]:
    return lambda owner: emit(Progress(Stage.WAIT, f"process {owner or '?'} builds the same environment"))


@contextlib.contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turns the system's word for a full disk into ours, with the place."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise DiskFull(f"No space is left for environments in {root} ({error.strerror})") from error
        raise
