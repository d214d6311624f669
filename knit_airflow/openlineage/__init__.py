"""What OpenLineage is told about a task, where its provider is installed."""
