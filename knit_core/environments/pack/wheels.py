"""pip packages of a prefix: which there are, and rewriting them to what is the same on every machine."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from knit_core.environments.errors import EnvironmentFailed
from knit_core.environments.pack.conda_meta import read_conda_meta, write_file_list
from knit_core.environments.pack.tarball import BINARY_HEAD, relocated
from knit_core.environments.redaction import without_secrets
from knit_core.environments.solution import Record

# Files of the installer in a dist-info folder: where a package came from, when it was built.
_INSTALLER_FILES = {"uv_cache.json", "uv_build.json", "REQUESTED"}


def site_folders(prefix: Path) -> list[Path]:
    """The folders of a prefix with Python packages: site-packages, and Debian's dist-packages."""
    found = [*prefix.glob("lib/python3*/site-packages"), *prefix.glob("lib/python3*/dist-packages")]
    return sorted(path for path in found if not path.is_symlink())


def installed(prefix: Path) -> dict[str, tuple[str, Path]]:
    """Version and dist-info folder of the Python packages in a prefix, by canonical name."""
    found = {}
    for site in site_folders(prefix):
        for info in sorted(path.parent for path in site.glob("*.dist-info/METADATA")):
            metadata = Distribution.at(info).metadata
            if "Name" in metadata and "Version" in metadata:
                found[str(canonicalize_name(metadata["Name"]))] = (metadata["Version"], info)
    return found


def write_stubs(prefix: Path, folder: Path) -> dict[str, str]:
    """Writes an empty wheel with metadata for each package of a prefix; their versions by name.

    With them, a resolver knows installed packages and their dependencies, even if the index does not have their version.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, str] = {}
    for name, (version, info) in installed(prefix).items():
        try:
            Version(version)
        except InvalidVersion:
            continue  # no requirement can name such a version
        stem = f"{name.replace('-', '_')}-{version}"
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{stem}.dist-info/METADATA", (info / "METADATA").read_bytes())
            wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{stem}.dist-info/RECORD", "")
        found[name] = version
    return found


def added_by_pip(prefix: Path) -> list[Record]:
    """The Python packages of a conda prefix that conda did not install. Their digests are not known."""
    managed = {file for document in read_conda_meta(prefix).values() for file in document.get("files", ())}
    return [
        Record(name, version, "", "", f"{name}-{version}", "", "", "pypi")
        for name, (version, info) in sorted(installed(prefix).items())
        if (info / "METADATA").relative_to(prefix).as_posix() not in managed
    ]


def normalize_wheels(prefix: Path, records: Sequence[Record]) -> None:
    """Rewrites packages that were just installed to what is the same on every machine, and writes their file lists.

    Scripts lose the prefix, files of the installer are deleted, RECORD is rewritten accordingly. conda packages whose files
    pip replaced are marked, as they differ from the packages of their channel.

    Raises `EnvironmentFailed` if a package is missing.
    """
    found = installed(prefix)
    names = {str(canonicalize_name(record.name)) for record in records}
    for record in records:
        if (name := canonicalize_name(record.name)) not in found:
            raise EnvironmentFailed(f"{record.name} {record.version} was installed, but {prefix} has no files of it")
        write_file_list(prefix, record, sorted(_normalized_files(found[name][1], prefix)))
    _remove_empty_dist_infos(prefix, names)
    _mark_changed(prefix)


def _normalized_files(info: Path, prefix: Path) -> Iterator[str]:
    """The package's files, normalized, its RECORD last."""
    rows = []
    for row in read_record(info):
        path = Path(os.path.normpath(info.parent / row[0]))
        dropped = path.parent == info and (path.name in _INSTALLER_FILES or is_private_address(path))
        if dropped:
            path.unlink(missing_ok=True)
        if dropped or path.suffix == ".pyc" or not path.exists() or not path.is_relative_to(prefix):
            continue
        if path == info / "RECORD":
            rows.append([row[0], "", ""])
        else:
            rows.append([row[0], *_without_prefix(path, prefix)] if path.parent == prefix / "bin" else row)
        yield path.relative_to(prefix).as_posix()
    _replace(info / "RECORD", record_text(rows))


def is_private_address(path: Path) -> bool:
    """Whether this is a direct_url.json with a folder of this machine, or with credentials."""
    if path.name != "direct_url.json" or not path.is_file():
        return False
    text = path.read_text()
    return '"file:' in text or without_secrets(text) != text


def _without_prefix(script: Path, prefix: Path) -> tuple[str, str]:
    """Removes the prefix from a script; its entry in RECORD."""
    data = script.read_bytes()
    if b"\0" not in data[:BINARY_HEAD]:
        changed = relocated(data, str(prefix))
        if changed != data:
            _replace(script, changed)
            data = changed
    return record_entry(data)


def read_record(info: Path) -> list[list[str]]:
    """The rows of a dist-info folder's RECORD: path, digest, size.

    `importlib.metadata` reads them too, but it drops missing files and changes paths; here the rows are written again.
    """
    return [*csv.reader(io.StringIO((info / "RECORD").read_text()))]


def record_text(rows: list[list[str]]) -> bytes:
    """RECORD's bytes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    return text.getvalue().encode()


def record_entry(data: bytes) -> tuple[str, str]:
    """Digest and size of a file in RECORD's form."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest}", str(len(data))


def _replace(path: Path, data: bytes) -> None:
    """Replaces a file. It is not overwritten, because it may be a hard link to a file in a cache."""
    fresh = path.with_name(f"{path.name}.knit")
    fresh.write_bytes(data)
    fresh.chmod(path.stat().st_mode & 0o777)
    fresh.replace(path)


def _remove_empty_dist_infos(prefix: Path, names: set[str]) -> None:
    """Removes dist-info folders that are left of a replaced version, so that no tool reads them as the package's."""
    for site in site_folders(prefix):
        for info in site.glob("*.dist-info"):
            name = canonicalize_name(info.name.removesuffix(".dist-info").partition("-")[0])
            if name in names and not (info / "METADATA").exists():
                shutil.rmtree(info)


def _mark_changed(prefix: Path) -> None:
    """Marks conda packages that have lost files."""
    for path, document in read_conda_meta(prefix).items():
        files = document.get("files", [])
        present = [file for file in files if file.endswith(".pyc") or os.path.lexists(prefix / file)]
        if len(present) < len(files):
            path.write_text(json.dumps({**document, "files": present, "changed": True}))
