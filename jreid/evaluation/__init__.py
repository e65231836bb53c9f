"""Ranking, re-ranking and published protocols; NumPy and SciPy only."""
