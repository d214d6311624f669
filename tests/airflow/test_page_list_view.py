"""The page's pure parts: rows, filters, order and pages; links and reasons; what a container's row shows."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import pytest

from knit_airflow.get_provider_info import get_provider_info
from knit_airflow.page.container_log import checked_cursor
from knit_airflow.page.detail_view import MOST_CONTAINERS, containers_of, with_report
from knit_airflow.page.list_view import ListQuery, TaskKey, page_of, row_of, safe_link, state_of
from knit_core.model.report import ApplicationReport, parse_report
from knit_core.model.result import Container
from knit_core.model.states import ContainerState, Outcome, State

DOCS = Path(__file__).resolve().parents[2] / "docs"
TASK = TaskKey("etl", "manual__2026-03-01T00:00:00+00:00", "train", 3)


def report(
    number: int = 1, state: State = State.RUNNING, outcome: Outcome | None = None, **facts: Any
) -> ApplicationReport:
    given = {"started_at": number * 1000, "page": f"http://rm:8088/cluster/app/{number}", **facts}
    return ApplicationReport(
        f"application_1_{number:04d}", f"app-{number}", "alice", "root.default", state, outcome, **given
    )


def rows() -> list[dict[str, Any]]:
    found = [
        row_of(report(1, containers=3, memory=2048), TASK),
        row_of(report(2, State.ACCEPTED, diagnostics="waiting\nfor  room"), TaskKey("etl", "r", "wait")),
        row_of(report(3, State.FINISHED, Outcome.SUCCEEDED), TaskKey("other", "r", "t")),
        row_of(report(4, State.FAILED, Outcome.FAILED), None),
        row_of(report(5, State.KILLED, Outcome.KILLED), TaskKey("other", "r", "t2")),
    ]
    return found


@pytest.mark.parametrize(
    ("state", "outcome", "word"),
    [
        (State.NEW, None, "waiting"),
        (State.ACCEPTED, None, "waiting"),
        (State.RUNNING, None, "running"),
        (State.FINISHED, Outcome.SUCCEEDED, "succeeded"),
        (State.FINISHED, Outcome.LOST, "failed"),
        (State.KILLED, Outcome.KILLED, "killed"),
    ],
)
def test_states_have_one_word(state: State, outcome: Outcome | None, word: str) -> None:
    assert state_of(report(1, state, outcome)) == word


def test_a_row_has_what_is_used_against_what_is_asked_and_its_cost() -> None:
    facts = {"memory": 2048, "vcores": 2, "pending_memory": 4096, "pending_vcores": 4, "pending_containers": 2}
    row = row_of(report(1, memory_seconds=2048 * 7200, vcore_seconds=3600, **facts), TASK)
    assert (row["memory"], row["memory_asked"], row["vcores"], row["vcores_asked"]) == (2048, 6144, 2, 6)
    assert (row["gb_hours"], row["core_hours"], row["pending"]) == (4.0, 1.0, 2)
    assert row["why"] == "2 containers are asked for and not there yet"
    assert row["task"] == "dags/etl/runs/manual__2026-03-01T00%3A00%3A00%2B00%3A00/tasks/train/mapped/3"


def test_what_yarn_says_of_a_wait_is_the_reason_on_one_line() -> None:
    assert rows()[1]["why"] == "waiting for room"


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "http://", "//x", ""]
)
def test_only_addresses_of_the_web_become_links(address: str) -> None:
    assert safe_link(address) == ""
    assert row_of(report(1, page=address), None)["page"] == ""
    assert safe_link("https://rm:8090/cluster/app/x") == "https://rm:8090/cluster/app/x"


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        (ListQuery(), [2, 1, 5, 4, 3]),
        (ListQuery(dag="etl"), [2, 1]),
        (ListQuery(state="ended"), [5, 4, 3]),
        (ListQuery(state="active", sort="started"), [1, 2]),
        (ListQuery(queue="root.science"), []),
        (ListQuery(text="  MANUAL__2026 "), [1]),
        (ListQuery(text="0003"), [3]),
        (ListQuery(sort="-memory"), [1, 5, 4, 3, 2]),
        (ListQuery(sort="nothing"), [2, 1, 5, 4, 3]),
        (ListQuery(size=2, page=2), [5, 4]),
        (ListQuery(size=2, page=99), [3]),
    ],
)
def test_filters_order_and_pages(query: ListQuery, numbers: list[int]) -> None:
    found = page_of(rows(), query)
    assert [int(row["id"][-4:]) for row in found["rows"]] == numbers


def test_counts_are_of_everything_that_may_be_seen_and_sums_of_what_was_found() -> None:
    found = page_of(rows(), ListQuery(dag="etl"))
    assert (found["found"], found["total"], found["pages"]) == (2, 5, 1)
    assert found["states"] == {"running": 1, "waiting": 1, "succeeded": 1, "failed": 1, "killed": 1}
    assert found["dags"] == ["etl", "other"] and found["queues"] == ["root.default"]
    assert found["sums"]["containers"] == 3 and found["sums"]["memory"] == 2048


def test_a_thousand_applications_are_a_matter_of_milliseconds() -> None:
    reports = [report(number) for number in range(1000)]
    began = time.process_time()
    found = page_of((row_of(each, TASK) for each in reports), ListQuery(text="app-9", sort="-cost"))
    assert found["total"] == 1000 and found["found"] == 111 and len(found["rows"]) == 50
    assert time.process_time() - began < 1  # 0.02 s; the processor's time, whatever else the machine does


def test_the_resourcemanagers_requests_become_what_is_pending() -> None:
    row = {"id": "application_1_0001", "state": "RUNNING", "allocatedMB": 512}
    size = {"memory": 1024, "vCores": 2}
    asked = [
        {"resourceName": "*", "numContainers": 3, "capability": size},
        {"resourceName": "node1", "numContainers": 3, "capability": size},
    ]
    found = parse_report({**row, "resourceRequests": asked}, "http://rm")
    assert (found.pending_containers, found.pending_memory, found.pending_vcores) == (3, 3072, 6)
    ended = parse_report({**row, "resourceRequests": asked, "state": "KILLED"}, "http://rm")
    assert ended.pending_containers == 0
    view = with_report({**row_of(report(1, memory=512), None)}, dataclasses.replace(found, vcores=1))
    assert (view["memory_asked"], view["pending"]) == (3584, 3)


def test_of_very_many_containers_those_that_failed_come_first() -> None:
    def container(rank: int, state: ContainerState) -> Container:
        return Container(f"main_{rank}", "main", rank, 1, state, metrics={"loss": 0.25}, diagnostics="a\nb")

    many = [container(rank, ContainerState.SUCCEEDED) for rank in range(MOST_CONTAINERS)]
    shown = containers_of([*many, container(900, ContainerState.FAILED)])
    assert len(shown) == MOST_CONTAINERS and shown[0]["id"] == "main_900"
    assert shown[0]["diagnostics"] == "a b" and shown[0]["metrics"] == {"loss": "0.25"} and shown[0]["ended"]


def test_a_cursor_comes_back_as_it_was_and_nothing_else_does() -> None:
    assert checked_cursor({"container_1/stdout": 12}) == {"container_1/stdout": 12}
    assert checked_cursor(None) is None
    for wrong in ([], "x", {"a": -1}, {"a": True}, {"a": 1.5}, {"a": 2**70}, {str(n): 1 for n in range(17)}):
        with pytest.raises(ValueError, match="cursor"):
            checked_cursor(wrong)


def test_the_manual_names_settings_that_there_are_and_shows_small_pictures() -> None:
    text = (DOCS / "airflow-page.md").read_text()
    block = re.findall(r"```ini\n\[knit\]\n(.*?)```", text, re.DOTALL)[0]
    named = re.findall(r"^#? ?(\w+) = ", block, re.MULTILINE)
    assert named == ["deployment", "page", "page_connections"]
    assert set(named) <= set(get_provider_info()["config"]["knit"]["options"])
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert len(pictures) == 3 and all((DOCS / name).stat().st_size < 120_000 for name in pictures)
