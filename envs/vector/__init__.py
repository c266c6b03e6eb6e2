"""Environments that step many episodes in one call."""
