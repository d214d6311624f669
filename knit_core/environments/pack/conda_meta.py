"""The folder `conda-meta` of a prefix: conda's records of installed packages, and the file lists of pip packages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from knit_core.environments.solution import Record

# The suffix is not .json: conda reads each *.json there as a package.
LOCK_NAME = "conda-meta/knit.lock"
_FILE_LISTS = "pypi"  # below conda-meta; conda does not read subfolders

# Keys of a record that depend on the place or the source of the installation.
_PLACE_KEYS = {"channel", "extracted_package_dir", "files", "link", "package_tarball_full_path", "paths_data", "url"}
_PLACE_KEYS |= {"requested_spec", "requested_specs", "indexed_timestamp"}


def read_conda_meta(prefix: Path) -> dict[Path, dict[str, Any]]:
    """conda's records of a prefix by their files, sorted."""
    return {path: json.loads(path.read_bytes()) for path in sorted((prefix / "conda-meta").glob("*.json"))}


def write_file_list(prefix: Path, record: Record, files: Sequence[str]) -> None:
    """Records which files of the prefix (relative) belong to a pip package."""
    folder = prefix / "conda-meta" / _FILE_LISTS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{record.name}.json").write_text(json.dumps({"name": record.id, "files": list(files)}))


def read_files(prefix: Path) -> dict[str, Any]:
    """The records and file lists of all packages that have `files`, by `Record.id`."""
    found = {record["name"]: record for record in read_conda_meta(prefix).values() if "files" in record}
    for path in (prefix / "conda-meta" / _FILE_LISTS).glob("*.json"):
        found[f"pypi:{path.stem}"] = json.loads(path.read_bytes())
    return found


def portable_record(metadata: Mapping[str, Any], record: Record, files: Iterable[str]) -> bytes:
    """A package's conda-meta record without paths of this machine: equal on every machine."""
    portable = {key: value for key, value in metadata.items() if key not in _PLACE_KEYS}
    # conda-pack needs a link entry, conda the others
    portable |= {"files": sorted(files), "link": None, "url": record.url, "channel": record.url.rsplit("/", 2)[0]}
    return json.dumps(portable, indent=1, sort_keys=True).encode()
