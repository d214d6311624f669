"""`CondaCreator` and `zip_path` of knit 0.2.4, with knit_core's builder: no conda program is needed."""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from knit.exceptions import CondaException, KnitException, translated
from knit.notices import warn_ignored
from knit.refusals import refusal, refusing
from knit.zipping import zip_path
from knit_core.environments import EnvironmentBuilder
from knit_core.model.environment import Environment

__getattr__ = refusing(__name__)
_NO_CONDA = "no conda is installed or run"


class CondaCreator:
    """Builds conda environments in a folder of this machine, and packs them.

    Args:
        conda_envs: the folder; ~/.knit/envs by default.
        channels: conda channels; by default conda-forge.
        conda_root, miniconda_url, conda_pkgs: without effect, which is warned of: no conda is installed or run.
    """

    def __init__(
        self,
        conda_root: str | None = None,
        conda_envs: str | None = None,
        miniconda_url: str | None = None,
        channels: Sequence[str] | None = None,
        conda_pkgs: str | None = None,
    ) -> None:
        given = {"conda_root": conda_root, "miniconda_url": miniconda_url, "conda_pkgs": conda_pkgs}
        for name, value in given.items():
            if value is not None:
                warn_ignored(name, _NO_CONDA)
        self.conda_envs = str(conda_envs or Path.home() / ".knit" / "envs")
        self.conda_root, self.conda_pkgs = conda_root, conda_pkgs
        self.channels = _texts("channels", channels or ())

    def __getattr__(self, name: str) -> Any:
        raise refusal("knit.env.CondaCreator", name)

    def create_env(self, env_name: str, packages: Sequence[str] | None = None, remove: bool = False) -> str:
        """Build an environment and pack it; the path of its ZIP file, with the name as its only folder.

        An existing one is kept when it was built for these packages and channels, and packed again when its files were changed.

        Args:
            env_name: its name.
            packages: conda specs; without them the environment must exist.
            remove: build it again.

        Raises:
            TypeError: `packages` is a text.
            CondaException: there is no such environment and no packages, they have no solution, or the folder cannot be
                written.
        """
        wanted = _texts("packages", packages or ())
        place, packed = Path(self.conda_envs) / env_name, Path(self.conda_envs) / f"{env_name}.zip"
        request = [wanted, self.channels]
        other = bool(wanted) and _note_of(place).get("request", request) != request
        fresh = not place.is_dir() or (bool(wanted) and (remove or other))
        try:
            if fresh:
                self._install(self._built(env_name, wanted), place, request)
            if fresh or _is_older(packed, place):
                zip_path(str(place), str(packed))
                _write_note(place, {**_note_of(place), "zip": _state(packed) if fresh else None})
        except OSError as error:
            raise CondaException(f"{env_name} cannot be written to {self.conda_envs}: {error}") from error
        return str(packed)

    def find_env(self, env_name: str) -> str | None:
        """The path of an environment's folder; None when it does not exist."""
        place = Path(self.conda_envs) / env_name
        return str(place) if place.is_dir() else None

    def list_envs(self) -> list[str]:
        """Names of the environments in the folder."""
        return sorted(place.name for place in Path(self.conda_envs).glob("*") if (place / "bin").is_dir())

    def _built(self, name: str, packages: list[str]) -> Environment:
        builder = EnvironmentBuilder()
        with translated():
            known = None if packages else builder.get(name)
            if not packages and known is None:
                raise CondaException(
                    f"There is no environment {name!r} in {self.conda_envs}; there are: {', '.join(self.list_envs()) or 'none'}. "
                    "Give packages= to build it"
                )
            return known or builder.create(name, packages, self.channels)

    def _install(self, built: Environment, place: Path, request: list[list[str]]) -> None:
        Path(self.conda_envs).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.conda_envs) as folder:
            fresh = Path(folder) / "env"
            _unpack(built.archive, fresh)
            shutil.rmtree(place, ignore_errors=True)
            fresh.rename(place)
        _write_note(place, {**built.to_dict(), "request": request})


def environment_of(env: Any) -> Any:
    """What knit_core takes for `env=` of knit 0.2.4.

    A ZIP file of `create_env` stands for the archive that it was made of, which nodes unpack faster. A folder is packed.

    Raises:
        KnitException: it is a folder without a Python.
        CondaException: the folder cannot be packed.
    """
    if not isinstance(env, (str, Path)) or "://" in str(env):
        return env
    place = Path(env).expanduser()
    if place.is_dir():
        return _of_folder(place)
    if place.suffix == ".zip" and (known := _remembered(place)) is not None:
        return known
    return str(env)


def _of_folder(place: Path) -> Any:
    builder = EnvironmentBuilder()
    with translated():
        if (place / "conda-meta").is_dir():
            return builder.pack_prefix(place, name=place.name)
        if (place / "pyvenv.cfg").is_file():
            return builder.create(place.name, venv=place)
    if not (place / "bin" / "python").exists():
        raise KnitException(
            f"env={str(place)!r} is a folder without bin/python: give an environment's folder or archive"
        )
    return zip_path(str(place))


def _note_of(place: Path) -> dict[str, Any]:
    """What is known of an environment's folder: its archive, what it was built for, the state of its ZIP file."""
    try:
        found = json.loads(place.with_name(f".{place.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_note(place: Path, note: Mapping[str, Any]) -> None:
    place.with_name(f".{place.name}.json").write_text(json.dumps(note), encoding="utf-8")


def _remembered(packed: Path) -> Environment | None:
    """The environment that a ZIP file was made of; None when the file was changed, or the archive is gone."""
    note = _note_of(packed.with_suffix(""))
    try:
        if note.get("zip") != _state(packed):
            return None
        found = Environment.from_dict(note)
    except (OSError, KeyError, TypeError):
        return None
    return found if Path(found.archive).is_file() else None


def _is_older(file: Path, folder: Path) -> bool:
    """Whether something in a folder was changed after the file was written, or there is no such file."""
    if not file.exists():
        return True
    return max(place.lstat().st_mtime_ns for place in (folder, *folder.rglob("*"))) > file.stat().st_mtime_ns


def _state(packed: Path) -> list[int]:
    found = packed.stat()
    return [found.st_size, found.st_mtime_ns]


def _texts(name: str, given: Sequence[str]) -> list[str]:
    if isinstance(given, str):
        raise TypeError(f"{name} is a list of texts, not one text: {name}=[{given!r}]")
    return list(given)


def _unpack(archive: Any, place: Path) -> None:
    place.mkdir()
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "fully_trusted_filter"):
            tar.extraction_filter = tarfile.fully_trusted_filter  # packed by Knit
        tar.extractall(place)


__all__ = ["CondaCreator", "environment_of", "zip_path"]
