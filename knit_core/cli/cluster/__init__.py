"""Commands for clusters: `knit doctor`, and `knit local` for the embedded one."""
