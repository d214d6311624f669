"""The `knit` command: one file per command, loaded when it is used."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from knit_core import __version__
from knit_core.cli.shared import NearestGroup, show_errors, verbosity_options

COMMANDS = {
    "airflow": "List and end applications of Airflow's tasks (needs Airflow).",
    "convert": "Write a specification from skein's, Slider's and other launchers' files.",
    "dask": "Run a script together with a Dask cluster in one application.",
    "doctor": "Check each layer from the configuration to a container; print a remedy for the first failure.",
    "events": "Show the events of an application.",
    "env": "Build, lock, list and show Python environments.",
    "kill": "End an application.",
    "kv": "Read and change an application's key-value store.",
    "list": "List applications.",
    "local": "Start, stop and show the embedded cluster on this machine.",
    "move": "Change the queue or priority of an application.",
    "logs": "Show an application's logs, live or after its end.",
    "run": "Run a command in containers and follow it to its end.",
    "scale": "Change the number of instances of a service.",
    "spec": "Check and show specification files.",
    "status": "Show an application and its containers.",
    "submit": "Launch the application in a file and follow it to its end.",
    "tokens": "Show and renew the delegation tokens of an application (Kerberos).",
    "why": "Show why an application waits or ended, and the remedy.",
}

#: Modules of commands outside of `knit_core.cli.applications`.
ELSEWHERE = {
    "airflow": "knit_airflow.cli",
    "doctor": "knit_core.cli.cluster.doctor",
    "env": "knit_core.cli.environments.env",
    "local": "knit_core.cli.cluster.local",
}


class _Lazy(NearestGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(ELSEWHERE.get(name, f"knit_core.cli.applications.{name}"))
        attribute = "command" if hasattr(module, "command") else name
        found: click.Command = getattr(module, attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


def _with_verbosity(command: Any) -> Any:
    for option in verbosity_options():
        command = option(command)
    return command


@click.group(cls=_Lazy, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="knit")
@click.option("--cluster", metavar="URL", help="The ResourceManager's address; by default from the configuration.")
@click.option("--user", metavar="NAME", help="The user, with simple authentication.")
@_with_verbosity
@click.pass_context
def knit(ctx: click.Context, cluster: str | None, user: str | None) -> None:
    """Launch, watch and end distributed programs on YARN."""
    ctx.obj = {"address": cluster, "user": user}
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """Entry point of the console script."""
    sys.exit(show_errors(knit))


if __name__ == "__main__":
    main()
