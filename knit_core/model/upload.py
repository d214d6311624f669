"""What must lie on HDFS before a launch. A plain value, no I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from knit_core.model.representation import shown


@shown
@dataclass(frozen=True)
class Upload:
    """Something that must lie in the cache: a local file, or bytes made by the plan.

    Attributes:
        name: file name in the cache.
        sha256: of the content; the cache folder's name.
        size: bytes.
        path: local file; empty for `data`.
        data: content.
        root: folder whose cache it lies in; empty: the staging folder. Another one is shared by all users.
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
