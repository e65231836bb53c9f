"""What `python -m jreid.search` can do: each verb's options, and what it does."""
