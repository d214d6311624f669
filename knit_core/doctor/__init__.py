"""Checks the layers of the connection to a cluster one after another: `knit doctor`, `Knit.diagnose_connection`."""

from knit_core.doctor.diagnosis import diagnose, launch_timeout
from knit_core.doctor.launch_layers import Launcher

__all__ = ["Launcher", "diagnose", "launch_timeout"]
