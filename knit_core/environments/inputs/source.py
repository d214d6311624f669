"""What each kind of input is read to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from knit_core.environments.cache import Cache
from knit_core.environments.progress import ProgressCallback
from knit_core.environments.solve.session import Session


class Source(Protocol):
    """Says which packages an environment has: a request for a solver, a lock, or a virtual environment."""

    @property
    def key(self) -> str:
        """Equal keys give equal environments; known without a build."""
        ...

    def document(self) -> dict[str, Any]:
        """The source as JSON's types, without credentials, for the cache."""
        ...

    def session(self, cache: Cache, work: Path, progress: ProgressCallback) -> Session:
        """A session that finds and installs the packages, in the folder `work`."""
        ...
