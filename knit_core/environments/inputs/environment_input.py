"""The arguments of `EnvironmentBuilder.create`, and the choice of the kind of input by them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Union

from knit_core.environments.errors import BadEnvironmentFile, BadPackageSpec
from knit_core.model.environment import Environment
from knit_core.model.representation import shown

if TYPE_CHECKING:
    from knit_core.environments.cache import Cache
    from knit_core.environments.inputs.source import Source
    from knit_core.environments.solve.request import Request

StrPath = Union[str, "os.PathLike[str]"]

_FILES = (
    "environment.yml, requirements.txt, pyproject.toml, or a lock: conda-lock.yml, an @EXPLICIT list, pylock.toml, "
    "uv.lock, pixi.lock (pixi.lock:NAME for another environment than default)"
)


@shown
@dataclass(frozen=True)
class EnvironmentInput:
    """What an environment is made from; see `EnvironmentBuilder.create`."""

    packages: Sequence[str] = ()
    channels: Sequence[str] | None = None
    pip: Sequence[str] = ()
    file: StrPath | None = None
    venv: StrPath | bool | None = None
    python: str = ""
    platform: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    prefix: StrPath | None = None
    archive: StrPath | None = None
    path: str | None = None

    def source(self, cache: Cache, solver: str) -> Source:
        """Reads the input by its kind. Raises what `EnvironmentBuilder.create` does."""
        if kind := self.ready_kind():
            raise BadPackageSpec(f"{kind}= is an environment already: there is nothing to solve or lock")
        if self.venv not in {None, False}:
            from knit_core.environments.inputs.venv import venv_source

            if self.packages or self.pip or self.file or self.channels:
                raise BadPackageSpec(
                    "A virtual environment is shipped as it is: give no packages, channels, pip or file"
                )
            return venv_source(self.venv, self.platform)
        return self.request(solver) if self.file is None else self._file_source(self.file, cache, solver)

    def ready_kind(self) -> str:
        """The argument that names an environment without solving: prefix, archive or path; empty: none of them.

        Raises `BadPackageSpec` if any other argument describes packages.
        """
        ready = [kind for kind in ("prefix", "archive", "path") if getattr(self, kind) is not None]
        others = (self.packages, self.channels, self.pip, self.file, self.venv, self.python, self.variables)
        if ready and (len(ready) > 1 or any(bool(each) for each in others)):
            raise BadPackageSpec(f"{ready[0]}= is an environment already: give no other argument with packages")
        return ready[0] if ready else ""

    def ready_environment(self, name: str) -> Environment:
        """The environment of `archive` or `path`."""
        if self.path is not None:
            return Environment.from_path(self.path, name=name, platform=self.platform or "")
        return Environment.from_archive(self.archive or "", name=name, platform=self.platform or "")

    def request(self, solver: str, file: Path | None = None, file_digest: str = "") -> Request:
        """The request of the lists, and of a requirements file in place of `pip`."""
        from knit_core.environments.inputs.packages import make_request

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

    def _file_source(self, file: StrPath, cache: Cache, solver: str) -> Source:
        from knit_core.environments.inputs.locks import is_lock, lock_source, split_pixi_name
        from knit_core.environments.inputs.requirements import is_requirements, requirements_digest

        path, part = split_pixi_name(Path(file).expanduser().absolute())
        if not path.is_file():
            raise BadEnvironmentFile(f"{path} does not exist or is not a file: give {_FILES}")
        if self.packages or self.pip:
            raise BadPackageSpec(f"Give packages or a file: {path.name} has the environment's packages")
        if is_lock(path):
            return lock_source(path, part, self.platform, cache).with_channels(self.channels or ())
        if path.suffix in {".yml", ".yaml"}:
            from knit_core.environments.inputs.environment_file import read_environment_file

            found = read_environment_file(path)
            return replace(
                self,
                packages=found.packages,
                channels=self.channels or found.channels or None,
                pip=found.pip,
                file=None,
                variables={**found.variables, **self.variables},
            ).request(solver)
        if is_requirements(path):
            return self.request(solver, path, requirements_digest(path))
        raise BadEnvironmentFile(f"{path} is not a file of a known kind: give {_FILES}")
