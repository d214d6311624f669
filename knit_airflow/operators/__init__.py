"""The operators, and how an application ends with its task."""

from knit_airflow._deprecated_paths import hand_out

__getattr__ = hand_out(__name__)
