"""Gateways of the embedded cluster: `knit local up --httpfs --knox`."""
