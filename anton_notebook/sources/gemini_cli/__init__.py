"""Sessions of Gemini CLI: documents that are rewritten whole, and lines of changes. Start with `file`."""
