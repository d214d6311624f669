"""Names of knit 0.2.4 that do not exist any more, each with its reason and remedy. docs/migration.md has the same table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_NO_JVM = "there is no Java client and no jar to name: Knit uses HTTP only"
_NO_CONDA = "Knit solves and packs environments itself; no conda is installed or run"
_LOGGER = "use `logging.getLogger('knit')`, or `knit.set_logging`"
_INTERNAL = "it was an internal part of the Java client"

REFUSED = {
    "knit.conf.java_lib_dir": _NO_JVM,
    "knit.conf.DEFAULT_KNIT_HOME": _NO_JVM,
    "knit.conf.error_if_path_missing": "Knit says itself which folders it read: `knit_core.config.load_config().places`",
    "knit.core.logger": _LOGGER,
    "knit.core.on_windows": "use `platform.system()`",
    "knit.core.read_int": _INTERNAL,
    "knit.core.Knit.JAR_FILE": _NO_JVM,
    "knit.core.Knit.JAR_FILE_PATH": _NO_JVM,
    "knit.core.Knit.JAVA_APP": _NO_JVM,
    "knit.core.Knit.KNIT_HOME": _NO_JVM,
    "knit.core.Knit.client_gateway": _INTERNAL,
    "knit.core.Knit.master": "it was the Java ApplicationMaster's gateway: use `knit_core.Knit().attach(app_id)`",
    "knit.core.Knit.proc": _INTERNAL,
    "knit.env.logger": _LOGGER,
    "knit.env.here": "environments are in `CondaCreator().conda_envs`",
    "knit.env.mini_file": _NO_CONDA,
    "knit.env.miniconda_url": _NO_CONDA,
    "knit.env.miniconda_urls": _NO_CONDA,
    "knit.env.CondaCreator.conda_bin": _NO_CONDA,
    "knit.env.CondaCreator.conda_info": _NO_CONDA,
    "knit.utils.get_log_content": "logs are not read from pages any more: use `Knit.logs`",
    "knit.yarn_api.logger": _LOGGER,
    "dask_yarn.core.first_word": "it was a helper of the list of packages",
    "dask_yarn.core.global_packages": "`packages=` adds to python, dask and distributed of the local versions",
    "dask_yarn.core.prog": "it was a helper of the list of packages",
}


def refusal(owner: str, name: str) -> AttributeError:
    """The error for a name that does not exist, with the reason if knit 0.2.4 had it.

    Args:
        owner: module or class with its module (`knit.core.Knit`).
        name: the attribute.
    """
    words = REFUSED.get(f"{owner}.{name}")
    if words is None:
        return AttributeError(f"{owner} has no attribute {name!r}")
    return AttributeError(f"{owner}.{name} of knit 0.2.4 does not exist any more: {words}")


def refusing(module: str, old: str = "") -> Callable[[str], Any]:
    """`__getattr__` of a module.

    Args:
        module: its name.
        old: its name in knit 0.2.4, where that differs.
    """

    def getattr_(name: str) -> Any:
        raise refusal(old or module, name)

    return getattr_
