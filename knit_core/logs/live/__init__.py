"""Logs of running containers, from the NodeManagers."""
