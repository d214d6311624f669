"""The output of `knit env`: a progress line, sizes, tables, errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from knit_core.environments import Environment, EnvironmentPlan, Stage
from knit_core.environments import Progress as Event
from knit_core.errors import KnitError
from knit_core.model.units import counted

_INTERRUPTED = 130
_WORDS = {
    Stage.WAIT: "waiting",
    Stage.SOLVE: "solving",
    Stage.DOWNLOAD: "downloading",
    Stage.LINK: "installing",
    Stage.PACK: "packing",
    Stage.DONE: "done",
}


def print_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Prints a `KnitError` as one message, with exit code 1. Ctrl-C gives exit code 130."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        try:
            command(**options)
        except KnitError as error:
            Console(stderr=True, highlight=False, soft_wrap=True).print(
                f"[red]✗[/red] {escape(f'{type(error).__name__}: {error}')}"
            )
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            raise SystemExit(_INTERRUPTED) from None

    return run


class ProgressLine:
    """A line with the current step, on a terminal only. It is removed at the end.

    Attributes:
        built: whether anything was packed.
    """

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[amount]}"),
        )
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task: TaskID | None = None
        self.built = False

    def __enter__(self) -> ProgressLine:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        self.built = self.built or event.stage is Stage.PACK
        text = escape(f"{_WORDS[event.stage]}  {event.message}")
        if self._task is None:
            self._task = self._progress.add_task(text, total=event.total, amount="")
        self._progress.update(
            self._task, description=text, total=event.total, completed=event.done or 0, amount=amount(event)
        )


def amount(event: Event) -> str:
    """The finished part: bytes while downloading, else packages."""
    if not event.total:
        return ""
    if event.stage is Stage.DOWNLOAD:
        return f"{megabytes(event.done or 0)} of {megabytes(event.total)}"
    return f"{event.done or 0} of {event.total}"


def megabytes(size: int) -> str:
    """A size in MB, below 1 MB in kB."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def plan_text(name: str, plan: EnvironmentPlan) -> str:
    """A plan as text."""
    records = plan.solution.records
    width = max(len(record.name) for record in records)
    lines = [
        f"  {record.name:{width}}  {record.version}  {record.build or 'pypi'}"
        + (f"  {megabytes(record.size)}" if record.size else "")
        for record in records
    ]
    if plan.built:
        state = f"in the cache: {plan.built.archive}"
    else:
        state = f"would be built; to download {megabytes(plan.download)}, less what is in a cache"
    return "\n".join([f"{name}: {counted(len(records), 'package')} for {plan.solution.platform}, {state}", *lines])


def facts(environment: Environment) -> str:
    """An environment's packages, size, Python and platform."""
    python = f"  python {environment.python}" if environment.python else ""
    return f"{counted(len(environment.packages), 'package')}  {environment.size / 1e6:.0f} MB{python}  {environment.platform}"


def date(environment: Environment) -> str:
    """The time of its build, UTC, to the minute."""
    return environment.created[:16].replace("T", " ")
