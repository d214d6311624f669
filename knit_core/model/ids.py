"""Application, attempt and container ids. Only this module parses and formats them.

Formats are those of Hadoop's ApplicationId, ApplicationAttemptId and ContainerId (`application_<cluster
timestamp>_<number>`, `appattempt_…_<attempt>`, `container_[e<epoch>_]<cluster
timestamp>_<application>_<attempt>_<container>`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from knit_core.errors import BadApplicationId

_APPLICATION = re.compile(r"application_(\d{1,19})_(\d{4,10})", re.ASCII)
_CONTAINER = re.compile(r"container_(?:e(\d+)_)?(\d{1,19})_(\d{4,10})_(\d{2,6})_(\d{6,10})", re.ASCII)


@dataclass(frozen=True, order=True)
class ApplicationId:
    """One application: the ResourceManager's start time (ms) and a number."""

    cluster: int
    number: int

    @classmethod
    def parse(cls, text: str) -> ApplicationId:
        """Read `application_1795412523572_0042`.

        Raises:
            BadApplicationId: the text is not an application id.
        """
        found = _APPLICATION.fullmatch(text.strip()) if isinstance(text, str) else None
        if not found:
            raise BadApplicationId(
                f"{text!r} is not an application id: the form is application_1795412523572_0042 (see: knit list)"
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"application_{self.cluster}_{self.number:04d}"


@dataclass(frozen=True, order=True)
class ContainerId:
    """One container: its application, the attempt that got it, and a number (1 for the ApplicationMaster)."""

    application: ApplicationId
    attempt: int
    number: int
    epoch: int = 0

    @classmethod
    def parse(cls, text: str) -> ContainerId:
        """Read `container_e03_1795412523572_0042_01_000001`; ValueError for anything else."""
        found = _CONTAINER.fullmatch(text.strip())
        if not found:
            raise ValueError(f"{text!r} is not a container id")
        return cls(ApplicationId(int(found[2]), int(found[3])), int(found[4]), int(found[5]), int(found[1] or 0))

    @classmethod
    def search(cls, text: str) -> ContainerId | None:
        """The first container id in a longer text, such as the URL of a log."""
        found = _CONTAINER.search(text)
        return cls.parse(found[0]) if found else None

    @property
    def is_master(self) -> bool:
        """Whether it is the ApplicationMaster's container."""
        return self.number == 1

    def __str__(self) -> str:
        epoch = f"e{self.epoch:02d}_" if self.epoch else ""
        app = self.application
        return f"container_{epoch}{app.cluster}_{app.number:04d}_{self.attempt:02d}_{self.number:06d}"
