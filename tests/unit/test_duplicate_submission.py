"""Two processes that hold one claim submit one application id at the same moment: neither has failed."""

from __future__ import annotations

from typing import Any, cast

import pytest

from knit_core.errors import ApplicationNotFound, RequestRefused
from knit_core.launch import Launcher
from tests.simulated_clock import SimulatedClock

APP = "application_1_0001"
DUPLICATE = f"Application with id {APP} is already present! Cannot add a duplicate!"


class ResourceManager:
    """Refuses a submission with these words."""

    def __init__(self, words: str, known: bool) -> None:
        self.words, self.known = words, known

    def submit(self, _body: Any) -> None:
        raise RequestRefused(self.words)

    def app(self, app_id: str) -> str:
        if not self.known:
            raise ApplicationNotFound(app_id)
        return app_id


class Knit:
    """No more than a launcher's submission needs."""

    def __init__(self, rm: ResourceManager) -> None:
        self.resourcemanager, self.clock = rm, SimulatedClock()


def _post(words: str, known: bool) -> None:
    launcher = Launcher(cast("Any", Knit(ResourceManager(words, known))), cast("Any", None))
    launcher._post({"application-id": APP})


def test_the_other_one_has_submitted_it() -> None:
    _post(DUPLICATE, known=True)


def test_other_refusals_are_refusals() -> None:
    with pytest.raises(RequestRefused, match="queue"):
        _post("no such queue", known=True)
    with pytest.raises(RequestRefused, match="duplicate"):
        _post(DUPLICATE, known=False)
