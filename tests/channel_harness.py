"""A conda channel for tests, made of this machine's Python and a few wheels (see tools/make_channel.py).

Use it from a conftest: `from tests.channel_harness import channel`. It is built once per Python version and kept in the user's
cache folder, so its URL is the same in each run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import make_channel


@pytest.fixture(scope="session")
def channel() -> str:
    """The `file://` URL of a channel with python, numpy and cloudpickle."""
    return make_channel.build_channel()


@pytest.fixture(scope="session")
def dask_channel() -> str:
    """The same with dask and distributed, and what they exchange pickles with, in the versions of this environment."""
    from importlib.metadata import version

    same = ("dask", "distributed", "msgpack", "tornado", "toolz", "cloudpickle")
    return make_channel.build_channel(["numpy", *(f"{name}=={version(name)}" for name in same)])
