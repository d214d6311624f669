"""The buttons on a task's page: its application in the ResourceManager, the application's own page, container logs.

Airflow's api-server reads a link from an XCom, and the XComs of a try are deleted when the next try starts. So each try's
addresses are also kept in the task's state store, which is kept over retries and clears and deleted with the DAG run.
`plugins.links` reads them from there, for every try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from knit_airflow.version_compat import NEVER_EXPIRE, BaseOperatorLink, XCom

if TYPE_CHECKING:
    from knit_core import Application

#: Key in the task's state store of the addresses of each try: {"1": {"page": …, "own": …, "logs": …}}.
PAGES_KEY = "knit_pages"
#: Addresses of so many tries are kept.
TRIES = 20


class PageLink(BaseOperatorLink):
    """Base of the buttons.

    Attributes:
        kind: key of the address.
    """

    kind = ""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address; empty while the task has no application.

        Airflow calls this when a task ends; before that the UI shows the XComs of `show_pages`.
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
    """The addresses by kind, from the ResourceManager's report.

    While the application runs, its own page has a link to the logs of each container. After its end they are on the cluster's
    log server; without one the link leads to the ResourceManager's page.
    """
    # The proxy's address is known before the application's own page exists.
    own = report.tracking_url or report.page.replace("/cluster/app/", "/proxy/") + "/"
    logs = f"{own.rstrip('/')}/#containers"
    if report.ended:
        logs = _log_server_page(application) or report.page
    return {"page": report.page, "own": own, "logs": logs}


def show_pages(context: Any, application: Application, log: Any) -> dict[str, str]:
    """Store the addresses of this try, so that the buttons work while the task runs; log the ResourceManager's page.

    Returns the addresses by kind; none when the request fails: the task continues without buttons.
    """
    from knit_core.errors import KnitError

    try:
        report = application.report()
        pages = addresses(application, report)
    except KnitError as error:
        log.warning("No link to %s: %s", application.id, error)
        return {}
    log.info("Application %s in queue %s: %s", application.id, report.queue, report.page)
    return _store(context, pages)


def update_pages(context: Any, application: Application, report: Any, before: dict[str, str]) -> dict[str, str]:
    """Store the addresses again after the application's end, when its logs have another address."""
    pages = addresses(application, report)
    return pages if pages == before else _store(context, pages)


def _store(context: Any, pages: dict[str, str]) -> dict[str, str]:
    """Store a try's addresses in the task's state store, and the changed ones in XComs."""
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
    """XComs by key: the buttons of a running try, and `tracking_url` for DAGs."""
    return {**{link.xcom_key: pages.get(link.kind, "") for link in LINKS}, "tracking_url": pages.get("own", "")}


def _log_server_page(application: Application) -> str:
    """The log server's page of an ended application's container; empty without a log server, or with several."""
    server = application.cluster.config.cluster_property("yarn.log.server.url", "")
    if not server:
        return ""
    rows = [row for row in application.containers(retry_timeout=0) if row.yarn and row.started_at]
    if len(rows) != 1:
        return ""
    row, user = rows[0], application.cluster.config.user
    return f"{server.rstrip('/')}/{row.node}/{row.yarn}/{row.yarn}/{user}"
