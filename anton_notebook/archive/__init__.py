"""Large collections of traces: Delta tables, Parquet datasets and Dask partitions."""
