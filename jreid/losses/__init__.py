"""Losses: primitives, and a file a term: the pure function and the part beside it."""
