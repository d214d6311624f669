"""`knit status`: shows one application and its containers."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click

from knit_core.cli.shared import application, client, console
from knit_core.errors import ApplicationNotFound, MasterUnreachable
from knit_core.model.result import Container
from knit_core.model.service_status import ServiceStatus
from knit_core.model.units import counted, show_seconds


@click.command()
@click.argument("app", metavar="APPLICATION")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(ctx: click.Context, app: str, as_json: bool) -> int:
    """Show an application (by its id, its last digits, or its name) and its containers."""
    with client(ctx) as knit:
        handle = application(knit, app)
        try:
            report = handle.report()
            facts: dict[str, Any] = report.to_dict()
        except ApplicationNotFound:
            result = handle.result()
            if result is None:
                raise
            facts = {"id": result.id, "outcome": str(result.outcome), "diagnostics": result.diagnostics}
        containers: list[Container] = []
        services: dict[str, ServiceStatus] = {}
        try:
            containers = handle.containers()
            services = handle.services()
        except MasterUnreachable:
            pass  # the ApplicationMaster has not started yet, or has ended without a result
    if as_json:
        rows = [{**dataclasses.asdict(row), "state": str(row.state)} for row in containers]
        shown_services = {name: dataclasses.asdict(service) for name, service in services.items()}
        click.echo(json.dumps({**facts, "services": shown_services, "containers_list": rows}, indent=2))
        return 0
    out = console()
    shown = ("id", "name", "user", "queue", "state", "outcome", "progress", "tracking_url", "page", "diagnostics")
    for key in shown:
        if facts.get(key) not in (None, ""):
            out.print(f"{key.replace('_', ' '):14}{facts[key]}")
    for service in services.values():
        out.print(_service(service))
    for row in containers:
        out.print(_line(row))
    return 0


def _service(row: ServiceStatus) -> str:
    counts = {name: getattr(row, name) for name in ("running", "ready", "pending", "waiting", "succeeded", "failed")}
    text = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    restarts = f", {counted(row.restarts, 'restart')}" if row.restarts else ""
    return f"  {row.name:12}{row.state:12}{counted(row.instances, 'instance')}: {text or 'none'}{restarts}"


def _line(row: Container) -> str:
    span = ""
    if row.started_at and row.finished_at:
        span = show_seconds((row.finished_at - row.started_at) / 1000)
    code = "" if row.exit_code is None else f"exit {row.exit_code}"
    return f"  {row.id:12}{row.state!s:12}{row.host:20}{code:10}{span:12}{row.diagnostics[:100]}".rstrip()
