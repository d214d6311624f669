"""What lies on HDFS: the staging folder, the shared cache, its leases and its pruning."""
