"""Knit's page in a real browser, in a real Airflow, of a real application: from a DAG run to a container's log, and acting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from knit_core import Knit, State
from knit_core.local import LocalCluster
from tests.airflow.bench import Scenario
from tests.browser_harness import SOON, Browser
from tools.airflow_client import wait_for
from tools.airflow_processes import AirflowProcesses

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

DAG = "deferred_once"
ONE = re.compile("^1 of")
FRAME = {"x": 320, "y": 60, "width": 960, "height": 700}
HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
PROGRAM = f"""i=0; while true; do i=$((i+1)); echo "step $i of $KNIT_CONTAINER"; echo '{HOSTILE}' >&2; sleep 1; done"""


@pytest.fixture(scope="module")
def work(
    airflow: AirflowProcesses, cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scenario]:
    """An application that runs and writes until it is ended."""
    airflow.client.wait_parsed(DAG)
    with Knit(cluster.resourcemanager_url, user="alice") as knit:
        work = Scenario(airflow, knit, Path(tmp_path_factory.mktemp("flags")), DAG).start(command=PROGRAM)
        try:
            wait_for("the application running", lambda: _running(work), 3 * SOON)
            yield work
        finally:
            for report in work.applications():
                if not report.ended:
                    knit.attach(report.id).kill(reason="The test is over")


def _running(work: Scenario) -> bool:
    return any(report.state is State.RUNNING for report in work.applications())


@pytest.fixture
def clean(browser: Browser) -> Iterator[Browser]:
    """The browser, which may not complain of anything that comes from Knit's page."""
    browser.complaints.clear()
    yield browser
    assert [each for each in browser.complaints if "/knit/" in each or each.startswith("script")] == []


def frame(browser: Browser) -> Any:
    """What Airflow shows of the page, which is in a frame."""
    return browser.page.frame_locator('iframe[title="Knit"]')


def tab(browser: Browser, work: Scenario) -> Any:
    """The tab of the task instance, by its address."""
    browser.page.goto(f"{work.airflow.url}/dags/{DAG}/runs/{work.run_id}/tasks/run/plugin/knit-application")
    return frame(browser)


def test_from_a_dag_run_to_a_containers_log(clean: Browser, work: Scenario) -> None:
    page = clean.page
    page.goto(f"{work.airflow.url}/dags/{DAG}/runs/{work.run_id}")
    page.get_by_role("table").get_by_role("link", name="run", exact=True).first.click()
    page.locator('a[href$="/plugin/knit-application"]').click()
    knit = frame(clean)
    knit.get_by_role("heading", name=work.name).wait_for()
    knit.get_by_role("button", name="main_0", exact=True).click()
    log = knit.locator("#log")
    log.get_by_text("of main_0").first.wait_for()
    log.get_by_text(HOSTILE, exact=True).first.wait_for()
    assert log.locator("img, script").count() == 0
    steps = log.get_by_text("of main_0")
    before = steps.count()
    wait_for("new lines without a reload", lambda: steps.count() > before, SOON)
    where = next(each for each in page.frames if "/knit/task" in each.url)
    assert where.evaluate("window.hacked") is None and page.evaluate("window.hacked") is None
    clean.picture("airflow-page-log", clip=FRAME)


def test_scale_and_end_a_container(clean: Browser, work: Scenario) -> None:
    knit = tab(clean, work)
    knit.get_by_label("Instances of main").fill("2")
    knit.get_by_role("button", name="Scale").click()
    row = knit.locator("#containers tr", has_text="main_1")
    row.get_by_text("running").wait_for()
    knit.locator("#facts dt:text-is('Containers') + dd:text-is('3')").wait_for()  # with the ApplicationMaster's
    assert len(work.knit.attach(work.applications()[0].id).containers()) == 2
    clean.picture("airflow-page-application")
    row.get_by_role("button", name="End…").click()
    knit.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    row.get_by_text("running").wait_for()
    row.get_by_role("button", name="End…").click()
    knit.get_by_role("dialog").get_by_role("button", name="End container").click()
    row.get_by_text("killed", exact=True).wait_for()
    knit.locator("#containers tr", has_text="main_0").get_by_text("running").wait_for()


@pytest.mark.slow
def test_the_list_filters_and_leads_to_application_and_task(clean: Browser, work: Scenario) -> None:
    page = clean.page
    page.goto(work.airflow.url)
    page.get_by_role("link", name="Knit", exact=True).first.click()
    knit = frame(clean)
    knit.locator("tfoot th", has_text="applications").wait_for()
    clean.picture("airflow-page-list")
    knit.get_by_role("searchbox").fill(work.name)
    knit.locator("tfoot th", has_text=ONE).wait_for()
    knit.get_by_label("State").select_option("ended")
    knit.locator("tfoot th", has_text=re.compile("^0 of")).wait_for()
    knit.get_by_label("State").select_option("active")
    knit.get_by_label("DAG").select_option(DAG)
    row = knit.locator("tbody tr")
    row.get_by_text("running").wait_for()
    assert row.count() == 1 and row.get_by_role("link", name=DAG).is_visible()
    page.evaluate("document.documentElement.classList.replace('light', 'dark')")
    knit.locator("html[data-theme=dark]").wait_for()
    row.get_by_role("link", name=work.name, exact=True).click()
    knit.get_by_role("button", name="End application…").wait_for()
    knit.get_by_role("link", name=f"{DAG} · {work.run_id} · run").click()
    page.wait_for_url(f"**/dags/{DAG}/runs/*/tasks/run")


@pytest.mark.slow
def test_it_asks_for_nothing_while_its_tab_is_hidden_and_an_inline_script_does_not_run(
    browser: Browser, work: Scenario
) -> None:
    page = browser.page
    page.goto(f"{work.airflow.url}/knit/?text={work.name}")
    page.locator("tfoot th", has_text=ONE).wait_for()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.away, configurable: true })")
    with page.expect_response("**/knit/api/applications*"):
        pass  # it is asked again and again; what was under way is over now
    page.evaluate("window.away = true")
    asked.clear()
    page.wait_for_timeout(4500)  # one and a half times what lies between two looks
    assert asked == []
    with page.expect_response("**/knit/api/applications*"):
        page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    page.evaluate(
        "const s = document.createElement('script'); s.textContent = 'window.hacked = 1'; document.head.append(s);"
        "const i = document.createElement('p'); i.innerHTML = '<img src=x onerror=\"window.hacked = 1\">';"
        "document.body.append(i)"
    )
    wait_for("the policy's refusal", lambda: page.wait_for_timeout(50) or _refused(browser), SOON)
    assert page.evaluate("window.hacked") is None


def _refused(browser: Browser) -> list[str]:
    return [each for each in browser.complaints if "Content Security Policy" in each]


def test_the_application_is_ended_by_keyboard_and_its_task_fails(clean: Browser, work: Scenario) -> None:
    knit = tab(clean, work)
    end = knit.get_by_role("button", name="End application…")
    end.wait_for()
    end.focus()
    clean.page.keyboard.press("Enter")
    knit.get_by_role("dialog").get_by_text("All its containers end").wait_for()
    clean.page.keyboard.press("Tab")
    clean.page.keyboard.press("Enter")
    knit.locator("#state").get_by_text("killed").wait_for()
    assert end.is_hidden()
    report = work.applications()[0]
    assert report.state is not State.RUNNING and "on Airflow's Knit page" in report.diagnostics
    work.wait("failed")
    knit.get_by_role("button", name="main_0", exact=True).click()  # the log stays readable after the end
    knit.locator("#log").get_by_text("of main_0").first.wait_for()
