"""What a task remembers in Airflow's state store, and what Airflow remembers of a task."""
