"""The C library and processor that an environment's binaries need. They are written to the archive; containers check them.

A dynamically linked file lists the versions of symbols that it needs (`GLIBC_2.28`). The newest of all files counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from mmap import mmap

from knit_core.model.environment import MACHINES, NEEDS

__all__ = ["NEEDS", "Version", "needed_glibc", "needs", "newest"]

Version = tuple[int, ...]
ELF = b"\x7fELF"
_SYMBOL = re.compile(rb"GLIBC_(2(?:\.\d{1,3}){1,2})\0")


def needed_glibc(binary: bytes | mmap) -> Version:
    """The newest glibc version that the binary needs; () if it needs none."""
    return max((tuple(map(int, match[1].split(b"."))) for match in _SYMBOL.finditer(binary)), default=())


def newest(versions: Iterable[Version]) -> Version:
    """The newest version; () if there is none."""
    return max(versions, default=())


def needs(platform: str, glibc: Version) -> bytes:
    """The file's content, like `x86_64 2.28`; empty for an unknown platform."""
    machine = MACHINES.get(platform, "")
    return f"{machine} {'.'.join(map(str, glibc))}".strip().encode() + b"\n" if machine else b""
