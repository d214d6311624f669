"""`knit env`: environments on this machine and on HDFS."""
