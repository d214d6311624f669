"""`CondaCreator` and `zip_path` of knit 0.2.4, with knit_core's builder: no conda program is needed."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knit.exceptions import CondaException, translated
from knit_core.environments import EnvironmentBuilder


class CondaCreator:
    """Builds conda environments in a folder of this machine.

    Args:
        conda_envs: the folder; ~/.knit/envs by default.
        channels: conda channels; by default conda-forge.
        conda_root, miniconda_url, conda_pkgs: kept for compatibility: no conda is installed.
    """

    def __init__(
        self,
        conda_root: str | None = None,
        conda_envs: str | None = None,
        miniconda_url: str | None = None,
        channels: Sequence[str] | None = None,
        conda_pkgs: str | None = None,
    ) -> None:
        self.conda_envs = Path(conda_envs or Path.home() / ".knit" / "envs")
        self.channels = list(channels or ())

    def create_env(self, env_name: str, packages: Sequence[str] | None = None, remove: bool = False) -> str:
        """Build an environment; returns the path of its folder. An existing one is kept, unless `remove`.

        Raises:
            CondaException: the packages have no solution, or the folder cannot be written.
        """
        place = self.conda_envs / env_name
        if place.is_dir() and not remove:
            return str(place)
        with translated():
            archive = EnvironmentBuilder().create(env_name, list(packages or ["python"]), self.channels).archive
        try:
            self.conda_envs.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.conda_envs) as folder:
                fresh = Path(folder) / "env"
                _unpack(archive, fresh)
                shutil.rmtree(place, ignore_errors=True)
                fresh.rename(place)
        except OSError as error:
            raise CondaException(f"{env_name} cannot be written to {place}: {error}") from error
        return str(place)

    def find_env(self, env_name: str) -> str | None:
        """The path of an environment's folder; None when it does not exist."""
        place = self.conda_envs / env_name
        return str(place) if place.is_dir() else None

    def list_envs(self) -> list[str]:
        """Names of the environments in the folder."""
        return sorted(place.name for place in self.conda_envs.glob("*") if (place / "bin").is_dir())


def _unpack(archive: Any, place: Path) -> None:
    place.mkdir()
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "fully_trusted_filter"):
            tar.extraction_filter = tarfile.fully_trusted_filter  # packed by Knit
        tar.extractall(place)


def zip_path(path: str, out_file: str | None = None) -> str:
    """Pack a folder into a ZIP file, which unpacks to a folder of the same name; keeps modes and symbolic links.

    Args:
        path: the folder.
        out_file: path of the ZIP file; by default beside the folder.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folder = Path(path).absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"{path} is not a folder")
    target = Path(out_file or f"{folder}.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, allowZip64=True, strict_timestamps=False) as packed:
        for place in sorted(folder.rglob("*")):
            name = str(place.relative_to(folder.parent))
            if place.is_symlink():
                entry = zipfile.ZipInfo(name)
                entry.create_system, entry.external_attr = 3, 0o120777 << 16
                packed.writestr(entry, str(place.readlink()))
            elif place.absolute() != target.absolute():
                packed.write(place, name)
    return str(target)
