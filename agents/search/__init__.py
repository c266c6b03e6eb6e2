"""The search agent: an optimizer, a policy and rollouts behind SB3's verbs."""
