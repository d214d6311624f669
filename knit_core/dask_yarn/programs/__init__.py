"""Programs that run in Dask's containers. They do not import knit_core."""
