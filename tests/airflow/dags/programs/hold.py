"""Preloaded by the scheduler of a test's Dask cluster, which is not ready before a file is there."""

import os
import time
from pathlib import Path

while not Path(os.environ["HOLD"]).exists():
    time.sleep(0.1)
