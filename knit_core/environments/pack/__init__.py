"""From an installed prefix to an archive."""
