"""Sums squares with Dask; runs with its own cluster, which `Client()` finds."""

import sys

from distributed import Client

import knit_container

with Client() as client:
    knit_container.result(sum(client.gather(client.map(lambda n: n * n, range(int(sys.argv[1]))))))
