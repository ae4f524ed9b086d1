"""Traces that `anton` writes: JSONL lines, progress files and the structure inferred from them."""
