"""Packing a prefix that Knit installed: one part for each package, so that archives share packages."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from knit_core.environments.pack.archive import OnPacked, Packer, Part, leave_out_secrets, packing
from knit_core.environments.pack.conda_meta import portable_record, read_files
from knit_core.environments.pack.tarball import TarWriter
from knit_core.environments.solution import ARCHIVE_FORMAT, Record

# Written by installers for themselves.
_NOT_PACKED = {"CACHEDIR.TAG", ".condarc"}

# py-rattler's folder for files of a package that another package has too.
_CLOBBERED = "__clobbers__/"


class SolutionPacker(Packer):
    """Packs one installed solution. Equal packages give equal bytes on every machine."""

    @cached_property
    def _records(self) -> dict[str, Record]:
        return {record.id: record for record in self.solution.records}

    @cached_property
    def _installed(self) -> dict[str, Any]:
        return read_files(self._prefix)

    @cached_property
    def _contested(self) -> set[str]:
        """Files of more than one package."""
        paths = Counter(path for installed in self._installed.values() for path in installed["files"])
        return {path for path, count in paths.items() if count > 1}

    def _parts(self, on_packed: OnPacked) -> list[Part]:
        return [self._part(record) for record in self.solution.records]

    def _part(self, record: Record) -> Part:
        installed = self._installed[record.id]
        clobbered = any(path.startswith(_CLOBBERED) for path in installed["files"])
        files = [path for path in installed["files"] if not path.endswith(".pyc") and not path.startswith(_CLOBBERED)]
        # A package that shares a path with another one, or whose files pip replaced, differs from prefix to prefix:
        # its member is not kept.
        changed = clobbered or installed.get("changed", False)
        reusable = bool(record.digest) and self._contested.isdisjoint(files) and not changed
        return Part(record.id, files, self._member_key(record) if reusable else "")

    def _member_key(self, record: Record) -> str:
        """Names a member's bytes. They depend on Python too: on its site-packages folder and its bytecode."""
        python = self.solution.python
        how = packing(bytecode=self._bytecode, complete=self._complete)
        parts = [record.to_json(), python.digest if python else "", how, ARCHIVE_FORMAT]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _metadata(self, part: Part, files: Sequence[str]) -> tuple[str, bytes] | None:
        record = self._records[part.name]
        if record.kind != "conda":
            return None
        described = _package_description(self._installed[part.name], record)
        name = f"conda-meta/{record.name}-{record.version}-{record.build}.json"
        return name, portable_record(described, record, files)

    def _add_remaining(self, writer: TarWriter, on_packed: OnPacked) -> None:
        for path in leave_out_secrets(self._selected(self._unmanaged()), self._prefix, on_packed):
            writer.add(path, self._prefix)

    def _unmanaged(self) -> list[str]:
        """Files of the prefix that belong to no package: link scripts wrote them."""
        managed = {path for installed in self._installed.values() for path in installed["files"]}
        found = []
        for folder, folders, names in os.walk(self._prefix):
            folders[:] = sorted(name for name in folders if name not in {"__pycache__", "conda-meta"})
            for name in [*names, *(name for name in folders if Path(folder, name).is_symlink())]:
                path = Path(folder, name).relative_to(self._prefix).as_posix()
                if path not in managed and path not in _NOT_PACKED:
                    found.append(path)
        return sorted(found)


def _package_description(installed: Mapping[str, Any], record: Record) -> Mapping[str, Any]:
    """The package's own description (info/index.json), if it is on this machine, else conda's record.

    A channel may have patched the description in its index. An installation from a lock file does not read the index.
    With the package's own description, both give the same bytes.
    """
    try:
        described = json.loads((Path(installed["extracted_package_dir"]) / "info" / "index.json").read_bytes())
    except (KeyError, TypeError, OSError, ValueError):
        return installed
    digest = {"sha256" if len(record.digest) == 64 else "md5": record.digest} if record.digest else {}
    return {**described, **digest, "files": installed["files"]}
