"""The SQLite database that `anton proxy` writes, read while it is being written."""
