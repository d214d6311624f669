"""The modules that are pickled with a function: the user's own ones, which are not in an environment."""

from __future__ import annotations

import contextlib
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
    path = Path(file).resolve()
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in _installed())


def _installed() -> list[Path]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = [sysconfig.get_paths()[name] for name in names] + [*site.getsitepackages(), site.getusersitepackages()]
    return [Path(place).resolve() for place in places]
