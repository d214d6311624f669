"""What follows from the newest claim of a launch key: the whole table."""

from __future__ import annotations

import itertools

import pytest

from knit_core.errors import LedgerError
from knit_core.launch.ledger import Claim, Step, decide, key_digest
from knit_core.model.states import Outcome

OUTCOMES = (None, *Outcome)


def _claim(accepted: bool, superseded: bool = False) -> Claim:
    return Claim(1, "application_1_0001", "ab", "host:1", accepted=accepted, superseded=superseded)


@pytest.mark.parametrize(
    ("known", "outcome", "traces"), list(itertools.product((False, True), OUTCOMES, (False, True)))
)
def test_without_a_claim_or_with_one_that_no_longer_counts_a_new_one_is_made(
    known: bool, outcome: Outcome | None, traces: bool
) -> None:
    assert decide(None, known, outcome, traces) is Step.CLAIM
    for accepted in (False, True):
        assert decide(_claim(accepted, superseded=True), known, outcome, traces) is Step.CLAIM


# (known to the ResourceManager, outcome) -> what follows, whatever markers and traces say
SURE = {
    (True, None): Step.ATTACH,  # it runs, or waits to
    (True, Outcome.SUCCEEDED): Step.ATTACH,
    (False, Outcome.SUCCEEDED): Step.ATTACH,  # forgotten by YARN, but its result tells
    (True, Outcome.FAILED): Step.CLAIM,
    (True, Outcome.KILLED): Step.CLAIM,
    (True, Outcome.LOST): Step.CLAIM,
    (False, Outcome.FAILED): Step.CLAIM,
    (False, Outcome.KILLED): Step.CLAIM,
    (False, Outcome.LOST): Step.CLAIM,
}
# (accepted, traces) -> what follows when YARN does not know it and it left no result
UNKNOWN = {
    (False, False): Step.SUBMIT,  # the claimer died before the 202: the same id again
    (True, False): Step.CLAIM,
    (False, True): Step.CLAIM,  # it ran although its marker was never written
    (True, True): Step.CLAIM,
}


@pytest.mark.parametrize(
    ("accepted", "traces", "known", "outcome"),
    list(itertools.product((False, True), (False, True), (False, True), OUTCOMES)),
)
def test_a_claim_that_counts(accepted: bool, traces: bool, known: bool, outcome: Outcome | None) -> None:
    expected = UNKNOWN[accepted, traces] if (known, outcome) == (False, None) else SURE[known, outcome]
    assert decide(_claim(accepted), known, outcome, traces) is expected


def test_an_application_that_may_have_run_is_never_submitted_again() -> None:
    for accepted, traces, known, outcome in itertools.product((False, True), (False, True), (False, True), OUTCOMES):
        if accepted or traces or known or outcome is not None:
            assert decide(_claim(accepted), known, outcome, traces) is not Step.SUBMIT


def test_folders_of_keys() -> None:
    digests = {key_digest(key) for key in ("a", "b", "../a", "a/b", "ä", "a" * 10_000)}
    assert len(digests) == 6
    assert all(len(digest) == 64 and digest.isalnum() for digest in digests)
    with pytest.raises(LedgerError, match="not empty"):
        key_digest("")
