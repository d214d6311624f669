"""Main jobs while the network between two parties is bad: done exactly once, or a transient error; never a hang.

Each cell does one job while one fault is on at one place (`cells.py`). It ends within `LIMIT` seconds: the job is done,
or it has told a transient error and is done when it is asked for once more after the fault. Faults that stay for good are
in `lasting.py`: there it ends with the right error within the right time. `make test` runs a selection
that is pairwise over job, place and kind of fault; `make test-all` runs all cells.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest

from knit_core import Knit
from tests.cluster_harness import eventually
from tests.fault_proxy import Refuse, Unreachable, paused
from tests.faults import lasting
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
    with UnderFault(bench, cell, job) as fault:
        until_done(job, begun + LIMIT, lambda error: error.transient)
        took = time.monotonic() - begun
        fault.wait_struck()
    job.check()
    job.clean()
    assert took < LIMIT, f"it took {took:.0f} s; told: {job.errors}"
    eventually(lambda: not leftovers(bench.network, standing), 20, "no other application is left")


@pytest.fixture
def impatient(bench: Bench) -> Iterator[Knit]:
    with lasting.hurried(bench) as knit:
        yield knit


@pytest.mark.parametrize(
    ("job", "place", "fault"),
    [
        pytest.param(*ending, fault, marks=() if (*ending, fault) in lasting.QUICK else pytest.mark.slow)
        for ending in lasting.ENDS
        for fault in lasting.FAULTS
    ],
)
def test_a_fault_that_stays(bench: Bench, impatient: Knit, job: str, place: str, fault: str) -> None:
    app = lasting.known(bench, impatient, job)
    for each in lasting.places(place):
        bench.network.places[each].set(lasting.FAULTS[fault])
    lasting.ends(lambda: lasting.JOBS[job](impatient, app), lasting.ENDS[job, place], impatient)


@pytest.mark.slow
@pytest.mark.parametrize("job", sorted(lasting.STOPPED))
def test_an_applicationmaster_that_stands_still_for_good(bench: Bench, impatient: Knit, job: str) -> None:
    app = lasting.known(bench, impatient, job)
    with paused(bench.network.pid("master", app.id)):
        lasting.ends(lambda: lasting.JOBS[job](impatient, app), lasting.STOPPED[job], impatient)


class UnderFault:
    """In the block a fault is on: for as long as the case says, or for `HOLD` seconds from the first connection it met."""

    def __init__(self, bench: Bench, cell: Cell, job: Job) -> None:
        self._network, self._case, self._job = bench.network, FAULTS[cell.fault], job
        self._place, self._process = bench.network.places[cell.place], FAR_END[cell.place]
        self._over = threading.Event()
        self._stack = ExitStack()

    def __enter__(self) -> UnderFault:
        case = self._case
        if case.fault is None:
            pid = self._network.pid(self._process, self._job.app_id)
            self._holding(paused(pid))
        elif case.times is None and not case.lasting:
            self._holding(self._switched_on())
        else:
            self._place.set(case.fault, case.times)
            self._stack.callback(self._place.heal)
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._stack.close()

    def wait_struck(self) -> None:
        """A job that was quicker than the fault met nothing: the fault stays until there is a connection for it."""
        if self._countable:
            eventually(lambda: self._place.struck, 20, f"the fault meets something at {self._place}")

    @property
    def _countable(self) -> bool:
        # what never comes to be a connection cannot be counted
        return self._case.fault is not None and not isinstance(self._case.fault, (Refuse, Unreachable))

    @contextmanager
    def _switched_on(self) -> Iterator[None]:
        fault = self._case.fault
        assert fault is not None
        if not self._countable:  # it begins with the first bytes
            self._place.reset_counts()
            self._wait(lambda: self._place.moved)
        self._place.set(fault)
        try:
            if self._countable:
                self._wait(lambda: self._place.struck)
            yield
        finally:
            self._place.heal()

    def _holding(self, fault: AbstractContextManager[None]) -> None:
        def hold() -> None:
            with fault:
                begun.set()
                time.sleep(HOLD)

        begun = threading.Event()
        thread = threading.Thread(target=hold)
        thread.start()
        self._stack.callback(thread.join)
        if self._case.fault is None:
            begun.wait(10)

    def _wait(self, condition: Callable[[], object]) -> None:
        while not condition() and not self._over.wait(0.002):
            pass


def test_the_selection_is_pairwise() -> None:
    """Every pair of job and place, job and kind of fault, place and kind of fault occurs in it, and so does every fault."""
    assert set().union(*(cell.pairs for cell in SELECTED)) == set().union(*(cell.pairs for cell in CELLS))
    assert {cell.fault for cell in SELECTED} == set(FAULTS)
