"""Descriptions in files: reads them with the files that belong to them, and specifications of any kind."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from knit_core.convert import registry, slider, tony
from knit_core.convert.draft import Conversion, Source
from knit_core.errors import SpecError
from knit_core.spec import ApplicationSpec, documents
from knit_core.spec.parser import MOST_BYTES

Spec: TypeAlias = ApplicationSpec | Mapping[str, Any] | str | Sequence[str]


def convert_files(paths: Sequence[str | os.PathLike[str]], kind: str = "") -> Conversion:
    """Convert a description for another launcher; relative paths in it stay relative to its folder.

    Args:
        paths: its files, or a folder of Slider's files. Files beside it that belong to it need not be named: Slider's
            other files, the `-conf_file` of a command line of TonY. `FILE:NAME` is one application of a file of kitten.
        kind: one of `knit_core.convert.KINDS`; empty to tell it by the content.

    Raises:
        SpecError: a file cannot be read, it cannot be told what it is, or it cannot be converted.
    """
    files, job = [str(path) for path in paths], ""
    if len(files) == 1:
        files[0], job = _job(files[0])
        if Path(files[0]).is_dir():
            files = _in_folder(Path(files[0]))
    sources = [read(file) for file in files]
    if len(sources) == 1:
        sources += _companions(Path(files[0]), sources[0], kind)
    return registry.convert(sources, kind, job)


def read(path: str) -> Source:
    """A file's text.

    Raises:
        SpecError: it cannot be read, or it is no text.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise SpecError([f"{path}: should be a file"])
        with Path(path).open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise SpecError([f"{path}: does not exist (looked for {Path(path).absolute()})"]) from None
    except (OSError, ValueError) as error:
        raise SpecError([f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    return registry.decode(path, content)


def specification(
    path: str | os.PathLike[str],
    parameters: Mapping[str, Any] | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
) -> tuple[ApplicationSpec, Conversion | None]:
    """A specification from a file of Knit or of another launcher, with absolute paths.

    Args:
        path: the file, or a folder of Slider's files.
        parameters, overrides: as for `ApplicationSpec.load`; the overrides replace values of the converted specification.

    Returns:
        The specification, and how it was converted; None for a file of Knit.

    Raises:
        SpecError: it cannot be read or converted, or is not valid.
    """
    file, _job_name = _job(str(path))
    if not Path(file).is_dir() and _own(file):
        return documents.load(path, parameters, overrides=overrides), None
    conversion = convert_files([path])
    folder = Path(file) if Path(file).is_dir() else Path(file).absolute().parent
    origin = f"{path} (converted from {conversion.kind})"
    spec = documents.loads(conversion.text(), parameters, overrides=overrides, folder=folder.absolute(), origin=origin)
    return spec, conversion


class ConversionWarning(UserWarning):
    """A description for another launcher has things that the launched specification does not have."""


def read_path(spec: Spec | os.PathLike[str]) -> Spec:
    """The specification in a file, for calls that take one; anything but a path object is returned as it is.

    Args:
        spec: a path object (`pathlib.Path`); a text is a command, not a path.

    Raises:
        SpecError: it cannot be read or converted, or is not valid.
    """
    if not isinstance(spec, os.PathLike):
        return spec
    found, conversion = specification(spec)
    if conversion is not None and conversion.lost:
        lines = "\n".join(f"  - {loss}" for loss in conversion.lost)
        warnings.warn(f"Converted from {conversion.kind}; lost:\n{lines}", ConversionWarning, stacklevel=3)
    return found


def rebased(conversion: Conversion, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> Conversion:
    """The conversion with relative paths for a specification in another folder.

    Args:
        conversion: of the file `source`.
        source: the file or folder that was converted.
        target: the file that the specification will be in.
    """
    file = Path(_job(str(source))[0])
    here, there = (file if file.is_dir() else file.parent).resolve(), Path(target).resolve().parent
    if here == there:
        return conversion

    def moved(text: str) -> str:
        keep = "://" in text or text.startswith(("/", "~"))
        return text if keep else os.path.relpath(here / text, there)

    services = {}
    for name, service in conversion.document["services"].items():
        service = dict(service)
        if "files" in service:
            service["files"] = [{**row, "source": moved(row["source"])} for row in service["files"]]
        if "environment" in service:
            service["environment"] = moved(service["environment"])
        services[name] = service
    document = {**conversion.document, "services": services}
    return Conversion(conversion.kind, document, conversion.spec, conversion.lost)


def _own(file: str) -> bool:
    """Whether the loader of Knit's own specifications is to read it: also what is no description at all."""
    try:
        found = {told.kind for told in registry.tell(read(file))}
    except SpecError:
        return True
    return found <= {registry.KNIT}


def _job(path: str) -> tuple[str, str]:
    """`FILE:NAME` as file and name, if there is no file of that whole name."""
    file, colon, name = path.rpartition(":")
    return (file, name) if colon and file.endswith(".lua") and not Path(path).exists() else (path, "")


def _in_folder(folder: Path) -> list[str]:
    found = _slider_files(folder, set(slider.PARTS))
    if not found:
        raise SpecError(
            [f"{folder}: a folder should have Slider's files: resources.json, metainfo.json, appConfig.json"]
        )
    return found


def _slider_files(folder: Path, parts: set[str]) -> list[str]:
    found = []
    for part in slider.PARTS:
        names = [name for name in slider.COMPANIONS if name.startswith(part) and (folder / name).is_file()]
        if part in parts and names:
            found.append(str(folder / names[0]))
    return found


def _companions(path: Path, source: Source, kind: str) -> list[Source]:
    """Files beside `path` that belong to it."""
    told = registry.choose(source, kind)
    if told.kind == slider.KIND:
        return [read(file) for file in _slider_files(path.parent, set(slider.PARTS) - {told.part})]
    if told.kind == tony.KIND and told.part == "command":
        named = tony.conf_file(source)
        if "/" in named or not named or not (path.parent / named).is_file():
            return []
        return [read(str(path.parent / named))]
    return []


__all__ = ["ConversionWarning", "convert_files", "read", "read_path", "rebased", "specification"]
