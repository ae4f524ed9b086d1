"""Data types shared by all packages: spans, requests, responses, message content and their HTML tables."""
