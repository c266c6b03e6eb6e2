"""Rollouts: the hot loop, the backends that run it, and the evaluators over them."""
