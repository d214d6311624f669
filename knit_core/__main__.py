"""`python -m knit_core`: the same as `knit`."""

from knit_core.cli import main

main()
