"""The interface between the builder and what finds and installs packages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from knit_core.environments.pack.tarball import EMBEDDED_PREFIX
from knit_core.environments.solution import Solution

if TYPE_CHECKING:
    from typing_extensions import Self


class Session(ABC):
    """Finds and installs the packages of one build. Leaving the context ends its processes.

    Attributes:
        embedded: the path of the environment that is written in installed files.
    """

    embedded = EMBEDDED_PREFIX

    @abstractmethod
    def solve(self) -> Solution:
        """The packages. Raises `SolveError`, `ChannelUnreachable` or another `EnvironmentFailed`."""

    @abstractmethod
    def install(self) -> Path:
        """Installs the packages of the solution; the prefix, a folder of the build."""

    def close(self) -> None:  # noqa: B027 (most sessions have no process)
        """Ends its processes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
