"""How many rollouts, for whom."""
