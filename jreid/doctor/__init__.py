"""Why jreid does not work here: `python -m jreid.doctor`; a check is a function."""
