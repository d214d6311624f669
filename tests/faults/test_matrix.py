"""Main jobs while the network between two parties is bad: done exactly once, or a transient error; never a hang.

Each cell does one job while one fault is on at one place (`cells.py`). It ends within `LIMIT` seconds: the job is done,
or it has told a transient error and is done when it is asked for once more after the fault. `make test` runs a selection
that is pairwise over job, place and kind of fault; `make test-all` runs all cells.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.cluster_bed import eventually
from tests.fault_proxy import Refuse, Unreachable, paused
from tests.faults.cells import CELLS, FAR_END, FAULTS, HOLD, Cell, selection
from tests.faults.jobs import JOBS, Bench, Job, leftovers, until_done
from tests.faults.network import faulty_cluster

LIMIT = 60.0  # seconds for a job with a fault of HOLD seconds, on a loaded machine
pytestmark = [pytest.mark.cluster, pytest.mark.race, pytest.mark.timeout(180)]
SELECTED = selection()


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with faulty_cluster() as network:
        bench = Bench(network)
        try:
            yield bench
        finally:
            network.heal()
            bench.close()


@pytest.mark.parametrize(
    "cell", [pytest.param(cell, id=str(cell), marks=() if cell in SELECTED else pytest.mark.slow) for cell in CELLS]
)
def test_cell(bench: Bench, cell: Cell) -> None:
    job = JOBS[cell.job](bench, cell.place)
    standing = {app.id for app in (bench._standing,) if app}
    begun = time.monotonic()
    with under_fault(bench, cell, job) as struck:
        until_done(job, begun + LIMIT, lambda error: error.transient)
    took = time.monotonic() - begun
    job.check()
    job.clean()
    assert took < LIMIT, f"it took {took:.0f} s; told: {job.errors}"
    assert struck(), f"the fault met nothing: this cell tests nothing: {bench.network.places[cell.place]}"
    eventually(lambda: not leftovers(bench.network, standing), 20, "no other application is left")


class under_fault:
    """The fault is on in the block, and for `HOLD` seconds only where it does not end by itself; gives a count of hits."""

    def __init__(self, bench: Bench, cell: Cell, job: Job) -> None:
        self._network, self._case, self._job = bench.network, FAULTS[cell.fault], job
        self._place, self._process = bench.network.places[cell.place], FAR_END[cell.place]
        self._stack = ExitStack()

    def __enter__(self) -> object:
        case = self._case
        if case.fault is None:
            pid = self._network.pid(self._process, self._job.app_id)
            stopped = self._stack.enter_context(ExitStack())
            stopped.enter_context(paused(pid))
            self._later(stopped.close)
            return lambda: True
        self._place.set(case.fault, case.times)
        self._stack.callback(self._place.heal)
        if case.times is None and not case.lasting:
            self._later(self._place.heal)
        # what never comes to be a connection cannot be counted
        return lambda: self._place.struck or isinstance(case.fault, (Refuse, Unreachable))

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _later(self, end: object) -> None:
        timer = threading.Timer(HOLD, end)  # type: ignore[arg-type]
        timer.start()
        self._stack.callback(timer.join)


def test_the_selection_is_pairwise() -> None:
    """Every pair of job and place, job and kind of fault, place and kind of fault occurs in it, and so does every fault."""
    assert set().union(*(cell.pairs for cell in SELECTED)) == set().union(*(cell.pairs for cell in CELLS))
    assert {cell.fault for cell in SELECTED} == set(FAULTS)
