"""Rollouts of OpenAI Codex: one session per file. Start with `rollout`."""
