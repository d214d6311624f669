"""The API of knit 0.2.4, for scripts that were written for it: a thin layer over knit_core.

from knit import Knit
k = Knit(autodetect=True)
app_id = k.start("hostname", num_containers=2)
"""

from knit.core import Knit
from knit.env import CondaCreator, zip_path
from knit.exceptions import CondaException, HDFSConfigException, KnitException, YARNException
from knit.yarn_api import YARNAPI

__all__ = [
    "YARNAPI",
    "CondaCreator",
    "CondaException",
    "HDFSConfigException",
    "Knit",
    "KnitException",
    "YARNException",
    "zip_path",
]
