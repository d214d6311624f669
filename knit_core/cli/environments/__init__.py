"""`knit env`: environments here and on HDFS."""
