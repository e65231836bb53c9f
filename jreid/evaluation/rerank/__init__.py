"""k-reciprocal re-ranking, in blocks and for many galleries at once."""
