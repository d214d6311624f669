"""Files on HDFS: the staging folder, the cache that users share, leases and pruning."""
