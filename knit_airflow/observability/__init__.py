"""Metrics and traces of a task's application."""
