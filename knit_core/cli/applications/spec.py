"""`knit spec`: checks and shows specification files, without a cluster."""

from __future__ import annotations

import click

from knit_core.cli.shared import FAILED, NearestGroup, console
from knit_core.cli.spec_options import read_spec, spec_options
from knit_core.errors import SpecError


@click.group(cls=NearestGroup)
def command() -> None:
    """Check and show specification files; no cluster is needed."""


@command.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@spec_options
def check(files: tuple[str, ...], parameters: tuple[str, ...], changes: tuple[str, ...]) -> int:
    """Print all problems of the FILEs, with their lines. Exit code 1 when there are any."""
    code = 0
    for file in files:
        try:
            spec = read_spec(file, parameters, changes)
        except SpecError as error:
            code = FAILED
            for problem in error.problems:
                console(stderr=True).print(f"✗ {problem}", style="red")
        else:
            services = ", ".join(f"{name} × {service.instances}" for name, service in spec.services.items())
            console().print(f"✓ {file}   {spec.name}: {services}", style="green")
    return code


@command.command()
@click.argument("file")
@spec_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(file: str, parameters: tuple[str, ...], changes: tuple[str, ...], as_json: bool) -> int:
    """Print the complete specification: defaults and parameters filled in, paths absolute."""
    from knit_core.spec import documents

    click.echo(documents.dumps(read_spec(file, parameters, changes), "json" if as_json else "yaml"), nl=False)
    return 0


@command.command()
def schema() -> int:
    """Print the JSON schema of specification files, for editors."""
    from knit_core.spec.schema import schema_text

    click.echo(schema_text(), nl=False)
    return 0
