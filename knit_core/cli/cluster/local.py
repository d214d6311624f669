"""`knit local`: the embedded cluster from the terminal."""

from __future__ import annotations

import difflib
import functools
import json
import re
import shlex
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.text import Text

from knit_core.cli.shared import NearestGroup
from knit_core.errors import KnitError
from knit_core.local import ClusterStatus, LocalCluster, Step
from knit_core.local.plan import running_user
from knit_core.local.secure.kerberos_files import REALM

EXIT = {"running": 0, "stopped": 3, "broken": 4, "starting": 4}
INTERRUPTED, TERMINATED = 130, 143


class _StepDisplay:
    """Shows steps: finished ones as lines, the current one as a spinner on a terminal."""

    def __init__(self, quiet: bool) -> None:
        self.console = Console(stderr=quiet, highlight=False, soft_wrap=True)
        self.begun: set[str] = set()
        self.status = self.console.status("") if self.console.is_terminal else None

    def __enter__(self) -> _StepDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        if self.status:
            self.status.stop()

    def __call__(self, step: Step) -> None:
        if step.done:
            if self.status:
                self.status.stop()
            sign, style = ("!", "yellow") if step.name == "warning" else ("✓", "green")
            self.console.print(_line(sign, style, step.name, step.text))
        elif self.status:
            self.status.update(Text(f"{step.name:<11} {step.text}"))
            self.status.start()
        elif step.name not in self.begun:
            self.console.print(_line("…", "dim", step.name, step.text))
        self.begun.add(step.name)


def _line(sign: str, style: str, name: str, text: str) -> Text:
    # No label for the daemons: the line contains their names.
    label = "" if name == "daemons" else f"{name:<11} "
    return Text.assemble((sign, style), " ", label, text)


def _with_exit_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a command. An interruption stops what it has started; an error is printed as one message, with exit code 1."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

        def stop(number: int, _frame: FrameType | None) -> NoReturn:
            # A second signal must not interrupt the clean-up.
            for each in previous:
                signal.signal(each, signal.SIG_IGN)
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            raise SystemExit(TERMINATED)

        for number in previous:
            signal.signal(number, stop)
        try:
            return function(*args, **kwargs)
        except KnitError as error:
            Console(stderr=True, highlight=False, soft_wrap=True).print(
                Text.assemble(("✗ ", "red"), f"{type(error).__name__}: {error}")
            )
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("\nInterrupted: the daemons that this command had started are stopped.", err=True)
            sys.exit(INTERRUPTED)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    return run


def _settings(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str] | None:
    pairs: dict[str, str] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not re.fullmatch(r"([\w-]+:)?[\w.-]+", key):
            raise click.BadParameter(f"{value!r} is not KEY=VALUE, like dfs.replication=1")
        pairs[key] = text
    return pairs or None


def _names(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


_state = click.option(
    "--state",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="The cluster's folder; clusters in different folders are independent.  [default: $KNIT_LOCAL_STATE, "
    "or local/default in the user's cache folder]",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the state as JSON.")


@click.group(cls=NearestGroup)
def local() -> None:
    """A real Hadoop cluster on this machine, for trials and tests."""


@local.command()
@click.option(
    "--nodes",
    type=click.IntRange(1, 64),
    help="Number of NodeManagers, on 127.0.0.1 and following addresses.  [default: 1]",
)
@click.option("--recovery/--no-recovery", default=None, help="Keep applications when the ResourceManager is restarted.")
@click.option(
    "--queues", callback=_names, metavar="A,B", help="Leaf queues that share the cluster.  [default: default]"
)
@click.option(
    "--kerberos/--no-kerberos", default=None, help="Kerberos on all services, with a KDC of the cluster's own."
)
@click.option("--ha/--no-ha", default=None, help="Two NameNodes and two ResourceManagers with automatic failover.")
@click.option("--tls/--no-tls", default=None, help="The web servers speak https only.")
@click.option("--users", callback=_names, metavar="A,B", help="Users with a home folder and, with Kerberos, a keytab.")
@click.option(
    "--scheduler",
    type=click.Choice(["capacity", "fair"]),
    help="YARN's scheduler: with `fair`, queues that are named are created.  [default: capacity]",
)
@click.option(
    "--hadoop",
    metavar="VERSION",
    help="Hadoop's version: 3.3.6, 3.4.2 or 3.5.0; others of Hadoop 3 were not tried.  [default: as the cluster in the folder, "
    "3.4.2 for a new one]",
)
@click.option("--httpfs/--no-httpfs", default=None, help="An HttpFS in front of HDFS, too.")
@click.option("--knox/--no-knox", default=None, help="A Knox gateway in front of YARN and HDFS, too.")
@click.option("--set", "settings", callback=_settings, multiple=True, metavar="KEY=VALUE", help="A Hadoop property.")
@click.option(
    "--timeout", type=click.FloatRange(1), default=120.0, show_default=True, help="Maximum seconds for the start."
)
@_state
@_json
@_with_exit_code
def up(
    nodes: int | None,
    recovery: bool | None,
    queues: list[str] | None,
    kerberos: bool | None,
    ha: bool | None,
    tls: bool | None,
    users: list[str] | None,
    scheduler: str | None,
    hadoop: str | None,
    httpfs: bool | None,
    knox: bool | None,
    settings: dict[str, str] | None,
    timeout: float,
    state: str | None,
    as_json: bool,
) -> None:
    """Start the cluster, or those daemons that do not run. No effect on a cluster that runs."""
    cluster = LocalCluster(state)
    with _StepDisplay(as_json) as show:
        status = cluster.up(
            nodes, recovery, settings, queues, show, timeout, kerberos=kerberos, tls=tls, users=users,
            scheduler=scheduler, ha=ha, hadoop=hadoop, httpfs=httpfs, knox=knox,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(status.as_dict(), indent=1))
        return
    stop = f"knit local down --state {shlex.quote(state)}" if state else "knit local down"
    variables = cluster.environment
    if len(variables) == 1:
        shown = f"export HADOOP_CONF_DIR={shlex.quote(status.conf_dir)}"
    else:
        shown = f'eval "$(knit local env{f" --state {shlex.quote(state)}" if state else ""})"'
    click.echo(f"  {shown}      pages: {status.resourcemanager_url}      stop: {stop}")


@local.command()
@click.option("--user", metavar="NAME", help="As this user, with keytab or password.  [default: the user who runs it]")
@_state
@_json
@_with_exit_code
def env(user: str | None, state: str | None, as_json: bool) -> None:
    """Print the variables with which a shell's programs find the cluster: eval "$(knit local env)"."""
    cluster = LocalCluster(state)
    variables = cluster.environment
    if "KNIT_PASSWORD" in variables:
        if user:
            variables |= {"KNIT_USER": user, "KNIT_PASSWORD": cluster.password(user)}
    elif "KRB5_CONFIG" in variables:
        user = user or running_user()
        variables |= {"KNIT_KEYTAB": str(cluster.keytab(user)), "KNIT_PRINCIPAL": f"{user}@{REALM}"}
    elif user:
        variables["HADOOP_USER_NAME"] = user
    if as_json:
        click.echo(json.dumps(variables, indent=1))
        return
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@local.command()
@click.option("--delete", is_flag=True, help="Also delete its files: HDFS's content, logs, configuration.")
@_state
@_with_exit_code
def down(delete: bool, state: str | None) -> None:
    """Stop the cluster and all processes in its containers."""
    cluster = LocalCluster(state)
    with _StepDisplay(False) as show:
        count = cluster.down(delete=delete, progress=show)
        text = f"{count} daemons stopped" if count else "nothing was running"
        show(Step("local", text + (f"; {cluster.state_dir} removed" if delete else ""), done=True))


@local.command()
@_state
@_json
@_with_exit_code
def status(state: str | None, as_json: bool) -> None:
    """Show which daemons run. Exit code 0 when all run, 3 when none runs, 4 when some run."""
    found = LocalCluster(state).status()
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=1))
    else:
        _print_status(found)
    sys.exit(EXIT[found.state])


@local.command()
@click.option(
    "--only", multiple=True, metavar="DAEMON", help="Only this daemon: resourcemanager, datanode …; repeatable."
)
@_state
@_with_exit_code
def restart(only: tuple[str, ...], state: str | None) -> None:
    """Stop daemons and start them again with the same settings."""
    cluster = LocalCluster(state)
    with _StepDisplay(False) as show:
        cluster.restart([_daemon(cluster, name) for name in only], progress=show)


@local.command()
@click.argument("daemon", required=False)
@click.option(
    "-n", "--lines", type=click.IntRange(1), default=50, show_default=True, help="Number of lines of each log."
)
@_state
@_with_exit_code
def logs(daemon: str | None, lines: int, state: str | None) -> None:
    """Show the last lines of a daemon's log, or of all."""
    cluster = LocalCluster(state)
    names = [_daemon(cluster, daemon)] if daemon else cluster.daemon_names()
    for name in names:
        if len(names) > 1:
            click.echo(f"==> {name} <==")
        for line in cluster.logs(name, lines):
            click.echo(line)


def _daemon(cluster: LocalCluster, name: str) -> str:
    names = cluster.daemon_names()
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names)}."
    raise click.UsageError(f"No daemon {name!r}. {hint}")


def _print_status(found: ClusterStatus) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not found.daemons:
        console.print(Text(f"No cluster was started in {found.state_dir}. Start one: knit local up"))
        return
    signs = {"running": ("✓", "green"), "starting": ("…", "yellow"), "stopped": ("·", "dim"), "dead": ("✗", "red")}
    width = max(len(daemon.name) for daemon in found.daemons)
    for daemon in found.daemons:
        pid = f"pid {daemon.pid}" if daemon.pid else ""
        what = f"{daemon.state}: {daemon.problem}" if daemon.problem else daemon.state
        text = f" {daemon.name:<{width}}  {daemon.port:<5}  {pid:<12}  {daemon.url:<24}  {what}"
        console.print(Text.assemble(signs[daemon.state], text.rstrip()))
        for line in daemon.last_lines:
            console.print(Text(f"    {line}", style="dim"))
        if daemon.last_lines:
            console.print(Text(f"    (log: {daemon.log})"))
    more = {"running": "", "stopped": "      start: knit local up"}.get(
        found.state, "      start the other daemons: knit local up"
    )
    console.print(Text(f"  {found.state}      HADOOP_CONF_DIR={found.conf_dir}{more}"))


if __name__ == "__main__":
    local(prog_name="knit local")
