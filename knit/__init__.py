"""The API of knit 0.2.4, for scripts that were written for it: a thin layer over knit_core.

from knit import Knit
k = Knit(autodetect=True)
app_id = k.start("hostname", num_containers=2)
"""

from typing import Any

from knit.conf import get_config
from knit.core import Knit
from knit.env import CondaCreator, zip_path
from knit.exceptions import CondaException, HDFSConfigException, KnitException, YARNException
from knit.notices import SettingIgnored, warn_old
from knit.refusals import refusal
from knit.utils import format, set_logging, shell_out, triple_slash
from knit.yarn_api import YARNAPI
from knit_core import __version__

__all__ = [
    "YARNAPI",
    "CondaCreator",
    "CondaException",
    "HDFSConfigException",
    "Knit",
    "KnitException",
    "SettingIgnored",
    "YARNException",
    "__version__",
    "format",
    "get_config",
    "set_logging",
    "shell_out",
    "triple_slash",
    "zip_path",
]
#: Modules of 0.2.4 from which names that are refused were taken into this one.
_FROM = {
    "DEFAULT_KNIT_HOME": "knit.conf",
    "get_log_content": "knit.utils",
    "logger": "knit.core",
    "on_windows": "knit.core",
    "read_int": "knit.core",
}


def __getattr__(name: str) -> Any:
    if name == "DaskYARNCluster":  # imported on use: it needs Dask
        from knit.dask_yarn import DaskYARNCluster

        warn_old("knit.DaskYARNCluster", "knit.dask_yarn.DaskYARNCluster")
        return DaskYARNCluster
    raise refusal(_FROM.get(name, "knit"), name)
