"""Options that several commands of `knit env` have."""

from __future__ import annotations

from pathlib import Path

import click

cache_dir = click.option(
    "--cache-dir", type=click.Path(path_type=Path, file_okay=False), help="Default: ~/.cache/knit/environments."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
