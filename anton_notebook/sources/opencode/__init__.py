"""The database of opencode: sessions, messages and their parts. Start with `database`."""
