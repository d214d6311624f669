"""A task's record in Airflow's state store, and its state in Airflow's database."""
