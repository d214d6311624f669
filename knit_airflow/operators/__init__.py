"""The operators, and the end of an application together with its task."""

from knit_airflow._deprecated_paths import hand_out

__getattr__ = hand_out(__name__)
