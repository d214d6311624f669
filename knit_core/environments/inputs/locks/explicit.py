"""Explicit lists: conda packages, one address with a digest on each line."""

from __future__ import annotations

import re
from pathlib import Path

from knit_core.environments.inputs.locks.lock import Lock, check_platform, conda_record

_MARK = re.compile(r"^@EXPLICIT\s*$", re.MULTILINE)


def is_explicit(text: str) -> bool:
    """Whether a file's text is an explicit list."""
    return _MARK.search(text) is not None


def read(text: str, path: Path, platform: str) -> Lock:
    """The packages of the list. Its platform is that of its packages, else of its comment `# platform:`."""
    lines = [line.strip() for line in text.splitlines()]
    addresses = (line.partition("#") for line in lines if line and not line.startswith(("#", "@")))
    records = tuple(conda_record(url, digest, path) for url, _, digest in addresses)
    subdirs = {record.subdir for record in records} - {"noarch"}
    comment = re.search(r"^# platform: (\S+)", text, re.MULTILINE)
    check_platform(subdirs or {comment[1] if comment else platform}, platform, path)
    return Lock(platform, records, path=path)
