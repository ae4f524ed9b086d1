"""Kernel side of the re-run panel. Start with `panel`."""
