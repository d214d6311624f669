"""A real browser for tests of web pages: Debian's chromium, without a window, driven by Playwright.

With `KNIT_SCREENSHOTS=<folder>` `Browser.picture` leaves pictures there, for the manual.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

#: Seconds for one thing to happen on a page, on a busy machine.
SOON = 90.0
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Browser:
    """One page of a browser, and what it complained of.

    Attributes:
        page: Playwright's.
        complaints: errors of scripts and of the console, with the address that they came from.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))

    def picture(self, name: str, **options: Any) -> None:
        """A picture for the manual, where pictures are wanted."""
        if folder := os.environ.get("KNIT_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled", **options)

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.location.get('url')}: {message.text}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A fresh browser, without cookies. Of one module: Playwright keeps an event loop for as long as it is there."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"),
            executable_path=chromium,
            headless=True,
            args=list(_FLAGS),
            viewport={"width": 1280, "height": 760},
            timezone_id="UTC",
            locale="en-GB",
        )
        try:
            context.set_default_timeout(SOON * 1000)
            yield Browser(context.pages[0])
        finally:
            context.close()
