"""How commands name an application: by its id, by last digits, by its name; no cluster."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from knit_core.cli.shared import application
from knit_core.errors import ApplicationNotFound, BadApplicationId, KnitError
from knit_core.model.report import ApplicationReport
from knit_core.model.states import Outcome, State


def row(number: int, name: str, *, user: str = "alice", ended: bool = True) -> ApplicationReport:
    state, outcome = (State.FINISHED, Outcome.SUCCEEDED) if ended else (State.RUNNING, None)
    return ApplicationReport(f"application_17_{number:04}", name, user, "default", state, outcome, type="KNIT")


class Client:
    """Knows these applications."""

    config = SimpleNamespace(user="alice")

    def __init__(self, *rows: ApplicationReport) -> None:
        self.rows = rows

    def list(self, *, states: Any, types: Any = ("KNIT",), name: str | None = None) -> Sequence[ApplicationReport]:
        assert list(states) == list(State)
        return [each for each in self.rows if name is None or each.name == name]

    def attach(self, text: str) -> Any:
        if not text.startswith("application_17_"):
            raise BadApplicationId(text)
        return SimpleNamespace(id=text)


def named(text: str, *rows: ApplicationReport) -> str:
    return str(application(Client(*rows), text).id)  # type: ignore[arg-type]


def test_by_id_nothing_is_asked() -> None:
    assert named("application_17_0042") == "application_17_0042"
    with pytest.raises(BadApplicationId):
        named("application_x")


@pytest.mark.parametrize("text", ["42", "0042", "00042"])
def test_by_its_last_digits(text: str) -> None:
    rows = [row(42, "a"), row(142, "b"), row(4, "c")]
    assert named(text, *rows) == "application_17_0042"


def test_by_its_name_the_running_one_else_the_newest(capsys: pytest.CaptureFixture[str]) -> None:
    assert named("train", row(1, "train"), row(2, "other")) == "application_17_0001"
    assert capsys.readouterr().err == ""
    assert named("train", row(1, "train"), row(2, "train", ended=False), row(3, "train")) == "application_17_0002"
    assert "application_17_0002: the running one of 3 with the name 'train'" in capsys.readouterr().err
    assert named("train", row(1, "train"), row(3, "train")) == "application_17_0003"
    assert "the newest of 2" in capsys.readouterr().err


def test_the_users_own_come_first() -> None:
    rows = [row(1, "train"), row(2, "train", user="bob", ended=False)]
    assert named("train", *rows) == "application_17_0001"
    assert named("train", rows[1]) == "application_17_0002"


def test_several_that_run_are_listed_to_choose_from() -> None:
    with pytest.raises(KnitError) as caught:
        named("train", row(1, "train", ended=False), row(2, "train", ended=False), row(3, "train"))
    assert str(caught.value).splitlines() == [
        "2 applications have the name 'train'; use the id of one:",
        "  application_17_0001  train  alice  RUNNING",
        "  application_17_0002  train  alice  RUNNING",
    ]


def test_a_name_of_digits() -> None:
    assert named("2026", row(1, "2026")) == "application_17_0001"


@pytest.mark.parametrize("text", ["trian", "99"])
def test_nothing_fits(text: str) -> None:
    with pytest.raises(ApplicationNotFound, match="knit list --all"):
        named(text, row(1, "train"))
