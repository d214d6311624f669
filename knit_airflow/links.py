"""The button on a task's page that opens its application in the ResourceManager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from knit_airflow.compat import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from knit_core import Application

#: XCom that holds the address; the link class reads it, `show_page` pushes it as soon as the application has an id.
PAGE_KEY = "application_page"


class KnitApplicationLink(BaseOperatorLink):
    """Opens the application's page in the ResourceManager."""

    name = "YARN application"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The page's address; empty while the task has no application.

        Airflow calls this when a task ends; until then the UI has what `show_page` left.
        """
        page = getattr(operator, "application_page", None) or XCom.get_value(ti_key=ti_key, key=PAGE_KEY)
        return str(page or "")


def show_page(ti: Any, application: Application, log: Any) -> str:
    """Make the button work while the task still runs, and name the page in the log; returns its address.

    Empty when the ResourceManager does not tell it now: a missing button is no reason to fail.
    """
    from knit_core.errors import KnitError

    try:
        report = application.report()
    except KnitError as error:
        log.warning("No link to %s: %s", application.id, error)
        return ""
    log.info("Application %s in queue %s: %s", application.id, report.queue, report.page)
    ti.xcom_push(key=PAGE_KEY, value=report.page)
    ti.xcom_push(key=KnitApplicationLink().xcom_key, value=report.page)
    # The proxy's address is known before the application's own page is there.
    proxied = report.tracking_url or report.page.replace("/cluster/app/", "/proxy/") + "/"
    ti.xcom_push(key="tracking_url", value=proxied)
    return report.page
