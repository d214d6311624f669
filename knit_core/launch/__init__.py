"""One launch: from a specification to an accepted application."""
