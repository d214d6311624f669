"""The end of an application whose `Knit` object or process ends, and the reason why one does not run."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace

from knit_core import Application, Knit
from knit_core.config import Config
from knit_core.errors import KnitError

_AT_EXIT = 5.0  # seconds, each for an answer and for the orderly end of what ran


def why(app: Application) -> str:
    """Why an application waits or has ended; empty when that is not known."""
    try:
        return str(app.why())
    except KnitError:
        return ""


def end_quietly(config: Config, app_id: str, process: int) -> None:
    """End an application. A forked process ends nothing, and no error is raised.

    Args:
        config: of the client that launched it.
        app_id: the application.
        process: id of the process that launched it.
    """
    if os.getpid() != process:
        return
    copied = replace(config, settings={**config.settings}, remote=None, home=None, fetch_principal=None)
    with contextlib.suppress(Exception), Knit(config=copied) as client:
        client.retry_timeout = _AT_EXIT
        client.attach(app_id).kill("the Knit object that started it has ended", grace=_AT_EXIT)


__all__ = ["end_quietly", "why"]
