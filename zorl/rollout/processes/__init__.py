"""Episodes in worker processes that are replaced when they crash or hang."""
