"""Extra links: the buttons on a task's page."""

from knit_airflow._deprecated_paths import hand_out

__getattr__ = hand_out(__name__)
