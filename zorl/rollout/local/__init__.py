"""Episodes of Gymnasium environments, stepped in lockstep in this process."""
