"""The request to a solver. `knit_core.environments.inputs` makes it from arguments and files."""

from __future__ import annotations

import hashlib
import json
import platform as machine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knit_core.environments.cache import REQUEST_FORMAT
from knit_core.environments.redaction import without_secrets

if TYPE_CHECKING:
    from knit_core.environments.cache import Cache
    from knit_core.environments.progress import ProgressCallback
    from knit_core.environments.solve.session import Session

#: Solvers: py-rattler, or a program on the PATH.
SOLVERS = ("rattler", "conda", "mamba", "micromamba")


@dataclass(frozen=True)
class Request:
    """Normalized: package specifications sorted, channels in order of priority.

    Attributes:
        specs: conda package specifications.
        channels: where conda packages come from.
        platform: conda's name.
        solver: one of `SOLVERS`, or "uv" without `specs`.
        pip: requirements in pip's syntax, installed on top; without `specs`, on a copy of a Python of this machine.
        variables: environment variables to set in the environment.
        python: without `specs`: which Python of this machine ("3.12"); empty: the running one.
        file: replaces `pip`: requirements.txt, pyproject.toml or uv.lock.
        file_digest: of its contents and of the files that it includes.
    """

    specs: tuple[str, ...]
    channels: tuple[str, ...]
    platform: str
    solver: str
    pip: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    python: str = ""
    file: Path | None = None
    file_digest: str = ""

    @property
    def summary(self) -> str:
        """The packages for messages, without credentials."""
        parts = [", ".join(self.specs), ", ".join(self.pip), self.file.name if self.file else ""]
        return without_secrets(" with ".join(part for part in parts if part))

    @property
    def has_pip(self) -> bool:
        """Whether any package comes from a package index."""
        return bool(self.pip or self.file)

    @property
    def key(self) -> str:
        """64 hexadecimal digits; equal for equivalent requests."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """The request as JSON's types, without credentials."""
        document: dict[str, Any] = {
            "format": REQUEST_FORMAT,
            "specs": list(self.specs),
            "channels": [without_secrets(channel) for channel in self.channels],
            "platform": self.platform,
            "solver": self.solver,
        }
        if self.pip:
            document["pip"] = [without_secrets(requirement) for requirement in self.pip]
        if self.variables:
            document["variables"] = dict(self.variables)
        if self.file:
            document["file"] = [self.file.name, self.file_digest]
        if not self.specs:
            document["python"] = self.python or machine.python_version()
        return document

    def session(self, cache: Cache, work: Path, progress: ProgressCallback) -> Session:
        """A session of the solver, and of uv on top where packages come from an index."""
        if not self.specs:
            from knit_core.environments.solve.python_session import PipSession, PythonSession, find_interpreter

            python = PythonSession(find_interpreter(self.python, cache, work), cache, work, progress)
            return PipSession(python, self, cache, work, progress)
        base: Session
        if self.solver == "rattler":
            from knit_core.environments.solve.rattler import RattlerSession

            base = RattlerSession(self, cache, work, progress)
        else:
            from knit_core.environments.solve.conda import CondaSession

            base = CondaSession(self, work, progress)
        if not self.has_pip:
            return base
        from knit_core.environments.solve.python_session import PipSession

        return PipSession(base, self, cache, work, progress)
