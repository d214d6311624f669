"""Sums the squares of this container's share of the numbers below a limit; the sum is the container's value."""

import os
import sys

import numpy

import knit_container

rank, ranks = int(os.environ["KNIT_INSTANCE"]), int(os.environ["KNIT_INSTANCES"])
share = numpy.arange(rank, int(sys.argv[1]), ranks)
print(f"rank {rank} of {ranks}: {len(share)} numbers")
knit_container.result(int((share**2).sum()))
