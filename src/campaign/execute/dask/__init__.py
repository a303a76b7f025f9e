"""Blocks on Dask workers."""
