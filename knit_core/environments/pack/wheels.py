"""What pip packages leave in a prefix: notes for the packer, and nothing of the place or time of the installation."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from knit_core.environments.errors import EnvironmentFailed
from knit_core.environments.pack.packing import WHEELS_FOLDER
from knit_core.environments.pack.tarball import relocated
from knit_core.environments.request import without_secrets
from knit_core.environments.solution import Record

# Notes of the installer to itself: where the file was, when it was built.
_INSTALLERS_NOTES = {"uv_cache.json", "uv_build.json", "REQUESTED"}


def site_folders(prefix: Path) -> list[Path]:
    """Where packages are in a prefix: site-packages, and Debian's own."""
    found = [*prefix.glob("lib/python3*/site-packages"), *prefix.glob("lib/python3*/dist-packages")]
    return sorted(path for path in found if not path.is_symlink())


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(prefix: Path) -> dict[str, tuple[str, Path]]:
    """Version and dist-info folder of the Python packages in a prefix, by canonical name."""
    found = {}
    for site in site_folders(prefix):
        for info in sorted(path.parent for path in site.glob("*.dist-info/METADATA")):
            name, _, version = info.name.removesuffix(".dist-info").partition("-")
            found[canonical(name)] = (version, info)
    return found


def write_stubs(prefix: Path, folder: Path) -> dict[str, str]:
    """Makes a wheel without contents for each package in a prefix; their versions by name.

    So a resolver takes what is there for what it is, dependencies included, whether an index has that version or not.
    """
    from packaging.version import InvalidVersion, Version

    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, str] = {}
    for name, (version, info) in installed(prefix).items():
        try:
            Version(version)
        except InvalidVersion:
            continue  # no index has such a one, so nothing can ask for it
        stem = f"{name.replace('-', '_')}-{version}"
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{stem}.dist-info/METADATA", (info / "METADATA").read_bytes())
            wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{stem}.dist-info/RECORD", "")
        found[name] = version
    return found


def added_by_pip(prefix: Path) -> list[Record]:
    """The Python packages of a conda prefix that conda knows nothing of; their digests are not known."""
    metadata = [json.loads(path.read_bytes()) for path in (prefix / "conda-meta").glob("*.json")]
    managed = {file for document in metadata for file in document.get("files", ())}
    found = sorted(installed(prefix).items())
    return [
        Record(name, version, "", "", f"{name}-{version}", "", "", "pypi")
        for name, (version, info) in found
        if (info / "METADATA").relative_to(prefix).as_posix() not in managed
    ]


def note_wheels(prefix: Path, records: Sequence[Record]) -> None:
    """Notes each package's files for the packer, after they were installed.

    Scripts lose the prefix, the installer's own notes go, RECORD says what is there then. conda packages that lost files
    to pip are marked, so that nobody takes them for what their channel has.

    Raises `EnvironmentFailed` when a package is not there.
    """
    folder = prefix / "conda-meta" / WHEELS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    found = installed(prefix)
    for record in records:
        if canonical(record.name) not in found:
            raise EnvironmentFailed(f"{record.name} {record.version} was installed, but nothing of it is in {prefix}")
        info = found[canonical(record.name)][1]
        note_files(prefix, record, sorted(_settled(info, prefix)))
    _remove_remains(prefix, {canonical(record.name) for record in records})
    _mark_changed(prefix)


def note_files(prefix: Path, record: Record, files: Sequence[str]) -> None:
    """Tells the packer which files of the prefix (relative) belong to a package."""
    folder = prefix / "conda-meta" / WHEELS_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{record.name}.json").write_text(json.dumps({"name": record.id, "files": list(files)}))


def _settled(info: Path, prefix: Path) -> Iterator[str]:
    """The package's files, after its RECORD was brought into the form that is the same everywhere."""
    rows = []
    for row in csv.reader(io.StringIO((info / "RECORD").read_text())):
        path = Path(os.path.normpath(info.parent / row[0]))
        dropped = path.parent == info and (path.name in _INSTALLERS_NOTES or tells_the_place(path))
        if dropped:
            path.unlink(missing_ok=True)
        if dropped or path.suffix == ".pyc" or not path.exists() or not path.is_relative_to(prefix):
            continue
        if path == info / "RECORD":
            rows.append([row[0], "", ""])
        else:
            rows.append([row[0], *_without_place(path, prefix)] if path.parent == prefix / "bin" else row)
        yield path.relative_to(prefix).as_posix()
    _replace(info / "RECORD", record_text(rows))


def tells_the_place(path: Path) -> bool:
    """Whether this is the note that a package came from a folder of this machine, or from a URL with credentials."""
    if path.name != "direct_url.json" or not path.is_file():
        return False
    text = path.read_text()
    return '"file:' in text or without_secrets(text) != text


def _without_place(script: Path, prefix: Path) -> tuple[str, str]:
    """Takes the prefix out of a script; the digest and size that RECORD has of it."""
    data = script.read_bytes()
    if b"\0" not in data[:1024]:
        changed = relocated(data, str(prefix))
        if changed != data:
            _replace(script, changed)
            data = changed
    return record_entry(data)


def record_text(rows: list[list[str]]) -> bytes:
    """RECORD's bytes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    return text.getvalue().encode()


def record_entry(data: bytes) -> tuple[str, str]:
    """Digest and size of a file as RECORD has them."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest}", str(len(data))


def _replace(path: Path, data: bytes) -> None:
    """Writes a new file in the place of this one, which may be a hard link to the one in a cache."""
    fresh = path.with_name(f"{path.name}.knit")
    fresh.write_bytes(data)
    fresh.chmod(path.stat().st_mode & 0o777)
    fresh.replace(path)


def _remove_remains(prefix: Path, names: set[str]) -> None:
    """What uninstalling left of another version: an empty description would be taken for the package's."""
    for site in site_folders(prefix):
        for info in site.glob("*.dist-info"):
            name = canonical(info.name.removesuffix(".dist-info").partition("-")[0])
            if name in names and not (info / "METADATA").exists():
                shutil.rmtree(info)


def _mark_changed(prefix: Path) -> None:
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        document = json.loads(path.read_bytes())
        files = document.get("files", [])
        there = [file for file in files if file.endswith(".pyc") or os.path.lexists(prefix / file)]
        if len(there) < len(files):
            path.write_text(json.dumps({**document, "files": there, "changed": True}))
