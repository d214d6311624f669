"""Values without I/O: what clusters, applications and results are."""
