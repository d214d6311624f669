"""`KnitSensor`."""

from knit_airflow._deprecated_paths import hand_out

__getattr__ = hand_out(__name__)
