"""The modules that are pickled with a function: the user's own ones, which are not in an environment."""

from __future__ import annotations

import contextlib
import functools
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

# Available in every container, or not needed there.
_NOT_PICKLED = {"knit_container", "cloudpickle", "__main__"}


@contextlib.contextmanager
def own_modules_by_value() -> Iterator[None]:
    """A context in which cloudpickle pickles functions and classes of the user's own modules by value, as those of scripts.

    A module is the user's own if its file is not in a folder of installed packages, and not in the standard library.
    Packages installed with `pip install -e` count as the user's own.
    """
    import cloudpickle

    taken = [module for name, module in list(sys.modules.items()) if is_own(name, module)]
    for module in taken:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in taken:
            cloudpickle.unregister_pickle_by_value(module)


def is_own(name: str, module: ModuleType) -> bool:
    """Whether a loaded module is the user's own code."""
    file = getattr(module, "__file__", None)
    if not file or name.partition(".")[0] in _NOT_PICKLED or getattr(module, "__name__", None) != name:
        return False
    return not _is_installed(file)


# Both are asked for every loaded module before each pickle of a job, thousands of times: without a cache that took seconds.
@functools.lru_cache(maxsize=16_384)
def _is_installed(file: str) -> bool:
    path = Path(file).resolve()
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return any(path.is_relative_to(folder) for folder in _installation_folders())


@functools.cache
def _installation_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    places = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(Path(place).resolve() for place in (*places, *site.getsitepackages(), site.getusersitepackages()))
