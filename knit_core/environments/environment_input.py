"""From what a caller says to what is built: a request for a solver, a lock, a virtual environment, or a prefix."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Union

from knit_core.environments.errors import (
    BadEnvironmentFile,
    BadLock,
    BadPackageSpec,
    EnvironmentFailed,
    PlatformMismatch,
)
from knit_core.environments.request import Request, make_request
from knit_core.model.representation import shown

if TYPE_CHECKING:
    from knit_core.environments.cache import Cache
    from knit_core.environments.inputs.locks import Lock
    from knit_core.environments.solve.venv import Venv

BuildRequest = Union[Request, "Lock", "Venv"]
StrPath = Union[str, "os.PathLike[str]"]

_FILES = (
    "environment.yml, requirements.txt, pyproject.toml, or a lock: conda-lock.yml, an @EXPLICIT list, pylock.toml, "
)
_FILES += "uv.lock, pixi.lock (pixi.lock:NAME for another environment than default)"


@shown
@dataclass(frozen=True)
class EnvironmentInput:
    """What a caller of `create_env` says about the packages; see `EnvironmentBuilder.create`."""

    packages: Sequence[str] = ()
    channels: Sequence[str] | None = None
    pip: Sequence[str] = ()
    file: StrPath | None = None
    venv: StrPath | bool | None = None
    python: str = ""
    platform: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def describes_packages(self) -> bool:
        """Whether it says what is in an environment."""
        said = (self.packages, self.channels, self.pip, self.file, self.venv, self.python, self.variables)
        return any(bool(each) for each in said)

    def to_request(self, cache: Cache, solver: str) -> BuildRequest:
        """Checks what was said and reads the file that it names. Raises what `EnvironmentBuilder.create` does."""
        if self.venv not in {None, False}:
            return self._venv()
        if self.file is None:
            return self._request(solver)
        path, part = _pixi_environment(Path(self.file).expanduser().absolute())
        if not path.is_file():
            raise BadEnvironmentFile(f"{path} is not there, or not a file: give {_FILES}")
        if self.packages or self.pip:
            raise BadPackageSpec(f"Give packages or a file: {path.name} says what is in the environment")
        from knit_core.environments.inputs.locks import is_lock

        if path.name != "uv.lock" and is_lock(path):
            return self._lock(path, part, cache)
        if path.suffix in {".yml", ".yaml"}:
            return self._described(path, solver)
        if path.suffix == ".txt" or path.name in {"pyproject.toml", "uv.lock"}:
            from knit_core.environments.inputs.environment_file import requirements_digest

            return self._request(solver, file=path, file_digest=requirements_digest(path))
        raise BadEnvironmentFile(f"{path} is of no kind that is known here: give {_FILES}")

    def _request(self, solver: str, file: Path | None = None, file_digest: str = "") -> Request:
        return make_request(
            self.packages,
            self.channels,
            pip=self.pip,
            variables=self.variables,
            platform=self.platform,
            python=self.python,
            solver=solver,
            file=file,
            file_digest=file_digest,
        )

    def _described(self, path: Path, solver: str) -> Request:
        from knit_core.environments.inputs.environment_file import read_description

        found = read_description(path)
        if not found.packages and not found.pip:
            raise BadEnvironmentFile(f"{path} has no dependencies")
        return make_request(
            found.packages,
            self.channels or found.channels or None,
            pip=found.pip,
            variables={**found.variables, **self.variables},
            platform=self.platform,
            python=self.python,
            solver=solver,
        )

    def _lock(self, path: Path, part: str, cache: Cache) -> Lock:
        from knit_core.environments.inputs.locks import read_lock
        from knit_core.environments.request import checked_platform

        platform = checked_platform(self.platform)
        lock = _pixi(path, part, platform, cache) if path.name == "pixi.lock" else read_lock(path, platform)
        if not lock.records:
            raise BadLock(f"{path} has no packages for {platform}")
        return lock.with_channels(self.channels or ())

    def _venv(self) -> Venv:
        from knit_core.environments.request import checked_platform, runs_here
        from knit_core.environments.solve.venv import current_python, read_venv

        if self.packages or self.pip or self.file or self.channels:
            raise BadPackageSpec("A virtual environment is shipped as it is: give no packages, channels, pip or file")
        if not runs_here(checked_platform(self.platform)):
            raise PlatformMismatch(f"What is installed here does not run on {checked_platform(self.platform)}")
        here = self.venv is True or self.venv == "current"
        return read_venv(current_python() if here else Path(str(self.venv)))


def _pixi_environment(path: Path) -> tuple[Path, str]:
    """The file, and the environment of a pixi.lock that is meant: `…/pixi.lock:test` is its environment `test`."""
    name, colon, part = path.name.partition(":")
    named = colon and name == "pixi.lock" and not path.exists()
    return (path.with_name(name), part) if named else (path, "default")


def _pixi(path: Path, part: str, platform: str, cache: Cache) -> Lock:
    """One environment of a pixi.lock, which py-rattler reads."""
    from knit_core.environments.inputs.locks import pixi_lock
    from knit_core.environments.progress import silent
    from knit_core.environments.solve.rattler import RattlerSession

    with (
        cache.work_folder() as work,
        RattlerSession(Request((), (), platform, "rattler"), cache, work, silent) as session,
    ):
        try:
            found = session.read_lock(path, part)
        except PlatformMismatch:
            raise
        except BadLock as error:
            raise BadLock(f"{path} has no environment {part}: {error}") from error
        except EnvironmentFailed as error:
            raise BadLock(f"{path} cannot be read as a pixi.lock: {error}") from error
        return pixi_lock(found, platform, path)
