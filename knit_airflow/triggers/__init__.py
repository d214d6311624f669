"""Triggers: the waits of deferred tasks and sensors, and the asset watchers."""

from knit_airflow._deprecated_paths import hand_out

__getattr__ = hand_out(__name__)
