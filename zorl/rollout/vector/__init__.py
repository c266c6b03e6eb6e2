"""Episodes in native vector environments."""
