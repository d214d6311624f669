"""OpenLineage metadata of tasks, when Airflow's OpenLineage provider is installed."""
