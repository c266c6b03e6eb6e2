"""The Stable-Baselines3 baselines behind the same verbs."""
