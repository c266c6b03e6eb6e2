"""Compiled rollouts: from a twin's methods to a kernel that runs whole populations."""
