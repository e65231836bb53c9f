"""A trained run as a file that runs where jreid is not installed."""
