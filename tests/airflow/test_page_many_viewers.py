"""A thousand applications and many viewers: one list from the ResourceManager, trimmed by tag, and quick pages."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from bench.standin import StandIn, serve
from knit_airflow.page.cluster_cache import ClusterCaches
from knit_airflow.page.list_view import ListQuery, TaskKey
from knit_airflow.page.task_lookup import TaskLookup
from knit_airflow.tags import deployment_tag, tag_of
from knit_core import Knit

if TYPE_CHECKING:
    from knit_airflow.page.service import PageService

pytestmark = pytest.mark.filterwarnings("default")  # those of Airflow's own server, which is imported

APPLICATIONS, VIEWERS = 1000, 40


class Tagged(StandIn):
    """Half of the applications are this deployment's, of ten DAGs; the others are another's."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.asked: list[dict[str, str]] = []
        self.tags: dict[str, str] = {}
        for number, app_id in enumerate(self.ids):
            task = task_of(number)
            name = "viewers" if number % 2 else "other"
            digest = tag_of(name, task.dag_id, task.run_id, task.task_id, task.map_index)
            self.tags[app_id] = f"{deployment_tag(name)},{digest}"

    def row(self, number: int, app_id: str) -> dict[str, Any]:
        return {**super().row(number, app_id), "applicationTags": self.tags[app_id]}

    def answer(self, path: str, query: dict[str, str]) -> Any:
        found = super().answer(path, query)
        if path.endswith("/apps"):
            self.asked.append(query)
            rows = [
                row for row in found["apps"]["app"] if query["applicationTags"] in row["applicationTags"].split(",")
            ]
            return {"apps": {"app": rows}}
        return found


def task_of(number: int) -> TaskKey:
    return TaskKey(f"dag-{number % 10}", "run", "task", number)


@pytest.fixture
def viewers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PageService, Tagged]]:
    from knit_airflow.page import auth
    from knit_airflow.page.service import PageService

    standin = Tagged(2 * APPLICATIONS)
    server = serve(standin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(
        "knit_airflow.page.task_lookup.candidates", lambda _since: [task_of(n) for n in range(2 * APPLICATIONS)]
    )
    monkeypatch.setattr(auth, "visible_dags", lambda user: {f"dag-{user}"} if user else set())
    knit = Knit(f"http://127.0.0.1:{server.server_address[1]}", user="alice")
    clusters = ClusterCaches(["one"], "viewers", lambda _conn_id: knit, every=60)
    try:
        yield PageService(clusters, TaskLookup("viewers")), standin
    finally:
        clusters.close()
        knit.close()
        server.shutdown()
        server.server_close()


def test_one_list_serves_all_viewers_and_each_sees_his_own(viewers: tuple[PageService, Tagged]) -> None:
    page_service, standin = viewers

    async def all_look() -> list[dict[str, Any]]:
        return await asyncio.gather(
            *(page_service.list_page(each % 10, ListQuery(sort="-started")) for each in range(VIEWERS))
        )

    found = asyncio.run(all_look())
    assert [each["total"] for each in found[:4]] == [0, APPLICATIONS // 5, 0, APPLICATIONS // 5]
    assert found[1]["dags"] == ["dag-1"] and len(found[1]["rows"]) == 50 and found[1]["pages"] == 4
    assert dict(standin.requests) == {"list": 1, "state": 1}  # the state: whether the list is of all applications
    assert [each["applicationTags"] for each in standin.asked] == ["airflow-viewers"]
    assert "resourceRequests" not in standin.asked[0]["deSelects"]

    began = time.process_time()
    again = asyncio.run(page_service.list_page(3, ListQuery(text="dag-3", page=2)))
    assert time.process_time() - began < 2  # 0.02 s; the processor's time, whatever else the machine does
    assert again["page"] == 2 and standin.requests["list"] == 1
