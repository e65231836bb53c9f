"""Training: objective, optimiser, schedule, the jitted step, what is logged."""
