"""A file that must be on HDFS before a launch. A plain value, no I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from knit_core.model.representation import shown


@shown
@dataclass(frozen=True)
class Upload:
    """A file for the cache: a local file, or bytes from the plan.

    Attributes:
        name: file name in the cache.
        sha256: of the content; the cache folder's name.
        size: bytes.
        path: local file; empty for `data`.
        data: content.
        root: the folder with the cache; empty for the staging folder. Any other folder is shared by all users.
    """

    name: str
    sha256: str
    size: int
    path: str = ""
    data: bytes = field(default=b"", repr=False)
    root: str = ""

    @classmethod
    def of(cls, name: str, data: bytes) -> Upload:
        """An upload of bytes."""
        return cls(name, hashlib.sha256(data).hexdigest(), len(data), data=data)

    def remote(self, staging: str) -> str:
        """Its path on HDFS."""
        return f"{self.root or staging}/cache/{self.sha256}/{self.name}"
