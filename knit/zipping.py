"""zip_path: a folder as a ZIP file that YARN unpacks as it was."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from knit.exceptions import KnitException

log = logging.getLogger("knit")
_FAST = 1  # of zlib's levels: an environment has a gigabyte


def zip_path(path: str, out_file: str | None = None) -> str:
    """Pack a folder into a ZIP file, which unpacks to a folder of the same name, and return its path.

    Modes are kept. A link is stored as what it points to, since YARN unpacks links in ZIP files as text files. A link to
    nothing is left out.

    Args:
        path: the folder.
        out_file: path of the ZIP file; by default beside the folder.

    Raises:
        FileNotFoundError: there is no such folder.
        KnitException: a link leads out of the folder, or to a folder that contains it. No file is left.
    """
    folder = Path(path).absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"{path} is not a folder")
    target = Path(out_file or f"{folder}.zip").absolute()
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(
            fresh, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=_FAST, strict_timestamps=False
        ) as packed:
            root = folder.resolve()
            for place, name in _entries(folder, root, folder.name, (root,)):
                if place.absolute() not in {target, fresh}:
                    packed.write(place, name)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    return str(out_file or target)


def _entries(folder: Path, root: Path, prefix: str, above: tuple[Path, ...]) -> Iterator[tuple[Path, str]]:
    """Files and folders below a folder, each with its name in the archive.

    Args:
        folder: its path.
        root: the packed folder, without links.
        prefix: the folder's name in the archive.
        above: the folder and those that contain it, without links.
    """
    for place in sorted(folder.iterdir()):
        name = f"{prefix}/{place.name}"
        real = place
        if place.is_symlink():
            real = _target(place, root)
            if not real.exists():
                log.warning("%s is a link to nothing, and is left out", place)
                continue
        if not real.is_dir():
            if real.is_file():
                yield real, name
            continue
        inner = real.resolve()
        if inner in above:
            raise KnitException(f"{place} is a link to {inner}, which contains it: remove the link, and pack again")
        yield real, name
        yield from _entries(real, root, name, (*above, inner))


def _target(link: Path, root: Path) -> Path:
    """What a link points to, over further links."""
    try:
        target = link.resolve()
        looped = target.is_symlink()  # Python 3.13 resolves a loop to itself
    except (RuntimeError, OSError):
        looped = True
    if looped:
        raise KnitException(f"{link} is a link that leads to itself: remove it, and pack again")
    if not target.is_relative_to(root):
        raise KnitException(
            f"{link} is a link to {target}, outside of {root}: a ZIP file would lack it, or have a copy of a file that is not "
            "of the folder. Remove the link, or put the file there. An environment of venv: create_env(…) packs its packages"
        )
    return target


__all__ = ["zip_path"]
