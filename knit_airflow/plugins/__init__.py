"""The Airflow plugins: Knit's page, and the links of every try."""
