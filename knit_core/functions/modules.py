"""Which modules travel with a function: the user's own ones, which no environment has."""

from __future__ import annotations

import contextlib
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

# Are there in every container, or have no business in one.
_STAY = {"knit_container", "cloudpickle", "__main__"}


@contextlib.contextmanager
def own_modules_by_value() -> Iterator[None]:
    """While this lasts, cloudpickle takes functions and classes of the user's own modules along, as it does for scripts.

    A module is the user's own when its file lies in no folder of installed packages and not in the standard library; so
    are those of packages installed with `pip install -e`.
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
    if not file or name.partition(".")[0] in _STAY or getattr(module, "__name__", None) != name:
        return False
    path = Path(file).resolve()
    if {"site-packages", "dist-packages"} & set(path.parts):
        return False
    return not any(path.is_relative_to(folder) for folder in _installed())


def _installed() -> list[Path]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = [sysconfig.get_paths()[name] for name in names] + [*site.getsitepackages(), site.getusersitepackages()]
    return [Path(place).resolve() for place in places]
