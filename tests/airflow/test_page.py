"""The page's routes behind Airflow's real api-server application and auth manager; the cluster is in memory.

Two DAGs of two teams; Vera may look at those of her team, Ursel may change them, Olaf is of the other team, Otto may edit
connections, Adam may do everything.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from knit_airflow.page.list_view import TaskKey
from knit_airflow.tags import deployment_tag, tag_of
from knit_airflow.testing import fake_cluster
from knit_core.errors import ConnectionFailed
from knit_core.testing import FakeApplication, FakeKnit

pytestmark = pytest.mark.filterwarnings("default")  # those of Airflow's own server, which runs in this process
USERS = "vera:viewer:science,ursel:user:science,olaf:user:trade,otto:op:science|trade,adam:admin"
HERE = {"sec-fetch-site": "same-origin"}


@dataclass
class Bed:
    """The api-server's application, the cluster behind it, and one run of each DAG."""

    server: Any
    cluster: FakeKnit
    etl: TaskKey
    shop: TaskKey

    def launch(self, task: TaskKey, **options: Any) -> FakeApplication:
        """An application that runs, launched by a task instance."""
        tags = (deployment_tag("bed"), tag_of("bed", task.dag_id, task.run_id, task.task_id, task.map_index))
        return self.cluster.submit("sleep 9", tags=list(tags), **options)

    def ask(self, user: str | None, path: str, body: Any = None, method: str | None = None, **headers: str) -> Any:
        """One request, as a user or as nobody; the reply."""
        return asyncio.run(self.asking(user, path, body, method, headers))

    async def asking(
        self, user: str | None, path: str, body: Any = None, method: str | None = None, headers: Any = None
    ) -> Any:
        """The same within an event loop."""
        import httpx

        sent = {"content-type": "application/json", **HERE} if body is not None else {}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.server), base_url="http://airflow.test", cookies=token(user)
        ) as client:
            return await client.request(
                method or ("GET" if body is None else "POST"),
                f"/knit{path}",
                content=None if body is None else json.dumps(body),
                headers={**sent, **{name.replace("_", "-"): value for name, value in (headers or {}).items()}},
            )

    def page(self) -> Any:
        """Knit's own application."""
        return next(route.app for route in self.server.routes if getattr(route, "path", "") == "/knit").app()

    def listed(self, user: str, query: str = "") -> list[str]:
        """Ids that the user's list has."""
        reply = self.ask(user, f"/api/applications?{query}")
        assert reply.status_code == 200, reply.text
        return [row["id"] for row in reply.json()["rows"]]


def token(user: str | None) -> dict[str, str]:
    """The session's cookie."""
    if user is None:
        return {}
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    role, teams = next((row[1], row[2:]) for row in (each.split(":") for each in USERS.split(",")) if row[0] == user)
    made = SimpleAuthManagerUser(username=user, role=role, teams=teams[0].split("|") if teams else None)
    return {"_token": get_auth_manager().generate_jwt(made)}


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        passwords = Path(folder) / "passwords.json"
        passwords.write_text(json.dumps({row.split(":")[0]: "secret" for row in USERS.split(",")}))
        for name, value in {
            "KNIT__DEPLOYMENT": "bed",
            "CORE__MULTI_TEAM": "True",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": USERS,
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "API__BASE_URL": "http://airflow.test",
            "API_AUTH__JWT_SECRET": "not a secret: a test's key that is long enough for what it signs with",
        }.items():
            patch.setenv(f"AIRFLOW__{name}", value)
        from airflow.utils.db import initdb

        initdb()
        with fake_cluster() as cluster:
            etl, shop = _run("page_etl"), _run("page_shop")
            _give_to_teams({"page_etl": "science", "page_shop": "trade"})
            cluster.on_submit = None
            from airflow.api_fastapi.app import create_app, purge_cached_app

            purge_cached_app()
            yield Bed(create_app(apps="core"), cluster, etl, shop)
            purge_cached_app()


def _run(dag_id: str) -> TaskKey:
    """Run a DAG of one task to its end; its task instance."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.sdk import DAG

    from knit_airflow import KnitOperator

    with DAG(dag_id, schedule=None) as dag:
        KnitOperator(task_id="run", command="true")
    with tempfile.TemporaryDirectory() as empty:
        DagBundlesManager().sync_bundles_to_db()
        bag = DagBag(empty)
        bag.bag_dag(dag)
        sync_bag_to_db(bag, "dags-folder", None)
    run = dag.test()
    assert run.state == "success"
    return TaskKey(dag_id, run.run_id, "run")


def _give_to_teams(teams: dict[str, str]) -> None:
    """Put each DAG into a bundle of its team, as `[dag_processor] dag_bundle_config_list` would."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.team import Team
    from airflow.utils.session import create_session

    with create_session() as session:
        for dag_id, name in teams.items():
            bundle = DagBundleModel(name=f"bundle-{name}")
            bundle.teams.append(Team(name=name))
            session.add(bundle)
            session.flush()
            session.get(DagModel, dag_id).bundle_name = bundle.name


@pytest.fixture(autouse=True)
def quiet(bed: Bed) -> Iterator[None]:
    """Each test begins with the two applications that have ended, and a list that is asked for anew."""
    bed.page().state.page_service.clusters.forget()
    yield
    for submission in bed.cluster.submitted[2:]:
        bed.cluster.forget(submission.app_id)
    del bed.cluster.submitted[2:]


def test_nobody_gets_anything_without_a_session(bed: Bed) -> None:
    asked = 0
    for route in bed.page().routes:
        path = route.path.format(name="list.js", app_id="application_1_0001", container="main_0", service="main", _="x")
        for method in route.methods - {"HEAD"}:
            reply = bed.ask(None, path, {} if method == "POST" else None, method)
            assert reply.status_code == 401, (method, path, reply.text)
            assert "default-src 'none'" in reply.headers["content-security-policy"]
            asked += 1
    assert asked >= 10
    assert bed.ask("vera", "/docs").status_code == bed.ask("vera", "/openapi.json").status_code == 404


def test_everybody_sees_the_applications_of_the_dags_that_he_may_read(bed: Bed) -> None:
    etl, shop = bed.launch(bed.etl), bed.launch(bed.shop)
    first, second = (each.app_id for each in bed.cluster.submitted[:2])
    assert bed.listed("vera") == bed.listed("ursel") == [etl.id, first]
    assert bed.listed("olaf") == [shop.id, second]
    assert set(bed.listed("adam")) == {etl.id, shop.id, first, second}
    row = bed.ask("vera", "/api/applications?state=running").json()["rows"][0]
    assert (row["dag_id"], row["run_id"], row["task_id"], row["state"]) == (
        "page_etl",
        bed.etl.run_id,
        "run",
        "running",
    )
    found = bed.ask("vera", "/api/applications").json()
    assert found["dags"] == ["page_etl"] and found["total"] == 2


def test_what_is_not_for_somebody_is_403_and_what_is_not_there_404(bed: Bed) -> None:
    etl = bed.launch(bed.etl)
    path = f"/api/applications/{etl.id}"
    assert bed.ask("vera", path).json()["may_act"] is False
    assert bed.ask("ursel", path).json()["may_act"] is True
    assert bed.ask("olaf", path).status_code == 403
    assert bed.ask("olaf", f"{path}/log", {"container": "master"}).status_code == 403
    query = f"dag_id=page_etl&run_id={quote(bed.etl.run_id)}&task_id=run"
    assert bed.ask("olaf", "/api/task", None, None).status_code == 422
    assert bed.ask("olaf", f"/api/task?{query}").status_code == 403
    assert bed.ask("adam", "/api/applications/application_1_9999").status_code == 404
    for action in ("kill", "containers/main_0/kill"):
        for user in ("vera", "olaf"):
            assert bed.ask(user, f"{path}/{action}", {}).status_code == 403
    assert bed.ask("vera", f"{path}/services/main/scale", {"instances": 3}).status_code == 403
    assert not etl.kills and len(etl.containers()) == 1


def test_an_application_without_a_task_is_for_those_who_may_edit_the_connection(bed: Bed) -> None:
    orphan = bed.launch(TaskKey("page_etl", "deleted", "run"))
    assert orphan.id not in bed.listed("ursel") and orphan.id in bed.listed("otto")
    assert bed.ask("ursel", f"/api/applications/{orphan.id}/kill", {}).status_code == 403
    assert bed.ask("otto", f"/api/applications/{orphan.id}/kill", {}).json() == {"ended": True}
    foreign = bed.cluster.submit("x", tags=["airflow-other", tag_of("other", "page_etl", "r", "t", -1)])
    assert foreign.id not in bed.listed("adam")
    assert bed.ask("adam", f"/api/applications/{foreign.id}").status_code == 404


def test_a_user_scales_and_ends_and_it_stands_in_the_audit_log(bed: Bed) -> None:
    from airflow.models import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    app = bed.launch(bed.etl, instances=2)
    path = f"/api/applications/{app.id}"
    assert bed.ask("ursel", f"{path}/services/main/scale", {"instances": 3}).json() == {"instances": 3}
    assert bed.ask("ursel", f"{path}/containers/main_1/kill", {}).json() == {"ended": True}
    view = bed.ask("ursel", path).json()
    assert [each["id"] for each in view["rows"]] == ["main_0", "main_2"] and view["containers"] == 3
    assert view["services"][0]["instances"] == 2 and view["task_id"] == "run"
    missing = bed.ask("ursel", f"{path}/containers/main_7/kill", {})
    assert missing.status_code == 409 and "main_7" in missing.json()["detail"]
    for wrong in ({"instances": -1}, {"instances": "3"}, {"instances": True}, {}):
        assert bed.ask("ursel", f"{path}/services/main/scale", wrong).status_code == 422
    assert bed.ask("ursel", f"{path}/kill", {}).json() == {"ended": True}
    assert app.kills == ["Ended by ursel on Airflow's Knit page"]
    view = bed.ask("ursel", path).json()
    assert view["state"] == "killed" and "ursel" in view["why"]
    with create_session() as session:
        events = session.execute(
            select(Log.event, Log.owner, Log.run_id, Log.extra).where(Log.dag_id == "page_etl", Log.event.like("knit%"))
        ).all()
    assert ("knit_scale", "ursel", bed.etl.run_id, f"{app.id} main 3") in events
    assert [each.event for each in events].count("knit_kill") == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "same-origin", "content_type": "text/plain"}, 415),
        ({"sec_fetch_site": "same-origin", "content_type": "application/x-www-form-urlencoded"}, 415),
        ({"sec_fetch_site": "same-origin"}, 200),
    ],
    ids=["other site", "other subdomain", "text", "form", "own page"],
)
def test_no_other_site_acts_with_a_users_session(bed: Bed, headers: dict[str, str], status: int) -> None:
    app = bed.launch(bed.etl)
    reply = bed.ask("ursel", f"/api/applications/{app.id}/kill", {}, **headers)
    assert reply.status_code == status
    assert bool(app.kills) is (status == 200)
    assert bed.ask("ursel", f"/api/applications/{app.id}/kill").status_code == 405


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"origin": "https://airflow.test"}, True),
        ({"origin": "http://inner:8080"}, True),
        ({"origin": "https://evil.test"}, False),
        ({"origin": "null"}, False),
        ({}, False),
        ({"authorization": "Bearer x"}, True),
        ({"origin": "https://evil.test", "authorization": "Bearer x"}, False),
    ],
)
def test_where_an_action_comes_from_without_fetch_metadata(headers: dict[str, str], passes: bool) -> None:
    from fastapi import HTTPException, Request

    from knit_airflow.page.http_guards import require_same_origin

    raw = [(b"content-type", b"application/json; charset=utf-8"), (b"host", b"inner:8080")]
    raw += [(name.encode(), value.encode()) for name, value in headers.items()]
    request = Request(
        {"type": "http", "method": "POST", "scheme": "http", "path": "/", "query_string": b"", "headers": raw}
    )
    if passes:
        require_same_origin(request, "https://airflow.test/airflow")
    else:
        with pytest.raises(HTTPException, match="Airflow's own page"):
            require_same_origin(request, "https://airflow.test/airflow")


def test_a_task_instance_leads_to_its_newest_application(bed: Bed) -> None:
    again = bed.launch(bed.etl)
    query = f"dag_id=page_etl&run_id={quote(bed.etl.run_id)}&task_id=run&map_index=%7BMAP_INDEX%7D"
    found = bed.ask("vera", f"/api/task?{query}").json()["applications"]
    assert [row["id"] for row in found] == [again.id, bed.cluster.submitted[0].app_id]
    assert bed.ask("vera", f"/api/task?{query.replace('%7BMAP_INDEX%7D', '4')}").json()["applications"] == []


def test_a_log_goes_on_where_it_was_and_refuses_other_cursors(bed: Bed) -> None:
    app = bed.launch(bed.etl)
    path = f"/api/applications/{app.id}/log"
    assert bed.ask("vera", path, {"container": "master", "cursor": {"x": -1}}).status_code == 422
    assert bed.ask("vera", path, {}).status_code == 422
    assert bed.ask("vera", path, {"container": "master"}).json() == {
        "lines": [],
        "cursor": {},
        "more": False,
        "note": "",
    }


def test_filters_are_the_servers(bed: Bed) -> None:
    app = bed.launch(bed.etl, name="needle", queue="science")
    assert bed.listed("vera", "text=NEEDLE") == [app.id]
    assert bed.listed("vera", "queue=science&state=active&dag=page_etl") == [app.id]
    assert bed.listed("vera", "state=ended&text=needle") == []
    assert bed.ask("vera", "/api/applications?state=nonsense").status_code == 422


def test_a_resourcemanager_that_is_away_leaves_the_last_list_and_says_so(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bed.ask("vera", "/api/applications").json()
    assert before["errors"] == []

    def away(**_filters: Any) -> None:
        raise ConnectionFailed("list applications: no answer from the ResourceManager at http://fake")

    monkeypatch.setattr(bed.cluster.resourcemanager, "apps", away)
    bed.page().state.page_service.clusters.forget()
    after = bed.ask("vera", "/api/applications").json()
    assert [row["id"] for row in after["rows"]] == [row["id"] for row in before["rows"]]
    assert after["errors"] == ["knit_default: list applications: no answer from the ResourceManager at http://fake"]
    assert after["at"] == before["at"]


def test_an_airflow_without_a_name_says_how_to_give_it_one(bed: Bed) -> None:
    from fastapi import FastAPI

    from knit_airflow.page.app import create_app

    server = FastAPI()
    server.mount("/knit", create_app("", ["knit_default"], ""))
    nameless = Bed(server, bed.cluster, bed.etl, bed.shop)
    assert nameless.ask("vera", "/").status_code == 200
    reply = nameless.ask("vera", "/api/applications")
    assert reply.status_code == 409 and "AIRFLOW__KNIT__DEPLOYMENT" in reply.json()["detail"]
