"""The result of `EnvironmentBuilder.plan`: what `create` would build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from knit_core.environments.solution import Solution
from knit_core.model.environment import Environment
from knit_core.model.representation import shown


@shown
@dataclass(frozen=True)
class EnvironmentPlan:
    """What `EnvironmentBuilder.create` would build.

    Attributes:
        key: of the request.
        solution: the packages, each with the bytes to download (0: not known).
        built: the environment, if it is in the cache.
    """

    key: str
    solution: Solution
    built: Environment | None

    @property
    def download(self) -> int:
        """Known bytes of all packages together. Packages in a cache are not downloaded again."""
        return sum(record.size for record in self.solution.records)

    def to_dict(self) -> dict[str, Any]:
        """As JSON's types."""
        packages = [
            {"name": each.name, "version": each.version, "build": each.build, "kind": each.kind, "download": each.size}
            for each in self.solution.records
        ]
        built = self.built.to_dict() if self.built else None
        platform = self.solution.platform
        return {"key": self.key, "platform": platform, "download": self.download, "packages": packages, "built": built}
