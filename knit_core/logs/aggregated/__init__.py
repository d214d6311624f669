"""Logs that YARN has aggregated on HDFS."""
