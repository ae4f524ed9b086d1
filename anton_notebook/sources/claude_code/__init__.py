"""Transcripts of Claude Code: sessions, their sub-agents and `stream-json` output. Start with `sessions`."""
