"""Connections to a YARN cluster (`KnitHook`), and to Dask clusters that a task has launched."""

from knit_airflow._deprecated_paths import hand_out

__getattr__ = hand_out(__name__)
