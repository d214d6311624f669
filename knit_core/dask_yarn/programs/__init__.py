"""What runs in Dask's containers; nothing of Knit's client is imported there."""
