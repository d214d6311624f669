"""The buttons on a task's page: its application in the ResourceManager, the application's own page, container logs.

Airflow's api-server reads a link from an XCom, and a task has only one set of those: with the next try the links of the
one before are gone. So each try's addresses are kept in the task's state store too, which outlives retries and clears
and goes with the DAG run, and `plugins.links` answers from there, for every try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from knit_airflow.version_compat import NEVER_EXPIRE, BaseOperatorLink, XCom

if TYPE_CHECKING:
    from knit_core import Application

#: Where a task's state store has the addresses of each try: {"1": {"page": …, "own": …, "logs": …}}.
PAGES_KEY = "knit_pages"
#: So many tries are kept.
TRIES = 20


class PageLink(BaseOperatorLink):
    """Base of the buttons.

    Attributes:
        kind: which of a try's addresses.
    """

    kind = ""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address; empty while the task has no application.

        Airflow calls this when a task ends; until then the UI has what `show_pages` left.
        """
        pages = getattr(operator, "application_pages", None) or {}
        found = pages.get(self.kind) or XCom.get_value(ti_key=ti_key, key=self.xcom_key)
        return str(found or "")


class KnitApplicationLink(PageLink):
    """Opens the application's page in the ResourceManager."""

    name = "YARN application"
    kind = "page"


class KnitOwnPageLink(PageLink):
    """Opens the page of the application itself: services, containers, events."""

    name = "Application page"
    kind = "own"


class KnitLogsLink(PageLink):
    """Opens the logs of the containers."""

    name = "Container logs"
    kind = "logs"


LINKS = (KnitApplicationLink(), KnitOwnPageLink(), KnitLogsLink())


def addresses(application: Application, report: Any) -> dict[str, str]:
    """The addresses by kind, from what the ResourceManager says.

    Container logs are on the application's own page, a link for each container, as long as it runs; after its end on
    the cluster's log server, or where there is none, nearest to them on the ResourceManager's page.
    """
    # The proxy's address is known before the application's own page is there.
    own = report.tracking_url or report.page.replace("/cluster/app/", "/proxy/") + "/"
    logs = f"{own.rstrip('/')}/#containers"
    if report.ended:
        logs = _kept_logs(application) or report.page
    return {"page": report.page, "own": own, "logs": logs}


def show_pages(context: Any, application: Application, log: Any) -> dict[str, str]:
    """Make the buttons work while the task still runs, for this try and later, and name the page in the log.

    Returns the addresses by kind; none when the ResourceManager does not tell now: a missing button is no reason to
    fail.
    """
    from knit_core.errors import KnitError

    try:
        report = application.report()
        pages = addresses(application, report)
    except KnitError as error:
        log.warning("No link to %s: %s", application.id, error)
        return {}
    log.info("Application %s in queue %s: %s", application.id, report.queue, report.page)
    return _leave(context, pages)


def update_pages(context: Any, application: Application, report: Any, before: dict[str, str]) -> dict[str, str]:
    """The same when the application has ended: its logs are somewhere else then."""
    pages = addresses(application, report)
    return pages if pages == before else _leave(context, pages)


def _leave(context: Any, pages: dict[str, str]) -> dict[str, str]:
    """Keep a try's addresses in the task's state store, and in XComs what of them is new."""
    ti, store = context["ti"], context["task_state_store"]
    found = store.get(PAGES_KEY)
    tries = dict(found) if isinstance(found, dict) else {}
    before = tries.get(str(ti.try_number))
    if before == pages:  # the task resumes
        return pages
    known = xcoms(before) if isinstance(before, dict) else {}
    for key, value in xcoms(pages).items():
        if known.get(key) != value:
            ti.xcom_push(key=key, value=value)
    tries[str(ti.try_number)] = pages
    newest = sorted(tries, key=int)[-TRIES:]
    store.set(PAGES_KEY, {number: tries[number] for number in newest}, retention=NEVER_EXPIRE)
    return pages


def xcoms(pages: dict[str, str]) -> dict[str, str]:
    """XComs by key: the buttons of a try that runs, and one that people use."""
    return {**{link.xcom_key: pages.get(link.kind, "") for link in LINKS}, "tracking_url": pages.get("own", "")}


def _kept_logs(application: Application) -> str:
    """The log server's page of an ended application's container; empty without a log server, or with several."""
    server = application.cluster.config.cluster_property("yarn.log.server.url", "")
    if not server:
        return ""
    rows = [row for row in application.containers(retry_timeout=0) if row.yarn and row.started_at]
    if len(rows) != 1:
        return ""
    row, user = rows[0], application.cluster.config.user
    return f"{server.rstrip('/')}/{row.node}/{row.yarn}/{row.yarn}/{user}"
