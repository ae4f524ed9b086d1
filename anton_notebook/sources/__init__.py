"""Readers for traces on disk. Start with `reader`, which detects formats and keeps one reader per file."""
