"""Which tests share daemons, and so run one after another in one process."""

from __future__ import annotations

#: Files of tests/cluster that start a cluster of their own and hardly use the one that others share.
OWN_DAEMONS = tuple(
    f"tests/cluster/test_{name}.py" for name in ("fields", "local", "recovery", "logs", "dask_nodes", "schedulers")
)


def group(file: str) -> str:
    """Tests of a group share daemons and run one after another in one process."""
    if file in OWN_DAEMONS:
        return file
    return next((name for name in ("cluster", "airflow", "faults") if name in file.split("/")[:-1]), file)
