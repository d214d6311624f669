"""`knit convert`: writes a specification from a description for another launcher."""

from __future__ import annotations

from pathlib import Path

import click

from knit_core.cli.shared import console
from knit_core.cli.spec_options import show_lost
from knit_core.convert import KINDS, convert_files, rebased
from knit_core.errors import KnitError


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--from", "kind", type=click.Choice(KINDS), default=None, help="What FILE is; by default told by its content."
)
@click.option(
    "-o", "--output", default=None, metavar="OUT", help="Write to this file; relative paths are changed to its folder."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(files: tuple[str, ...], kind: str | None, output: str | None, as_json: bool) -> int:
    """Write a specification of Knit from the description FILE for another launcher: skein's YAML, the JSON of YARN's
    service framework or of Slider (the files, or their folder), kitten's Lua (FILE:NAME of several applications), a
    command line of DistributedShell or TonY, tony.xml. What has no equivalent is named with its line.

    \b
    knit convert spec.yaml -o train.yaml
    knit convert slider-app/ --json
    """
    conversion = convert_files(files, kind or "")
    if output is not None:
        conversion = rebased(conversion, files[0], output)
    text = conversion.text("json" if as_json else "yaml")
    show_lost(conversion)
    if output is None:
        click.echo(text, nl=False)
        return 0
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise KnitError(f"{output} cannot be written: {error.strerror or error}") from None
    services = ", ".join(f"{name} × {service.instances}" for name, service in conversion.spec.services.items())
    console(stderr=True, progress=True).print(f"✓ {output}   {conversion.spec.name}: {services}", style="green")
    return 0
