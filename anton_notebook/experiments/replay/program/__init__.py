"""Replay by running the recorded program against the recording gateway."""
