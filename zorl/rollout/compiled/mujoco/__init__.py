"""Compiled rollouts of MuJoCo tasks: its C library's step, called from a compiled loop."""
