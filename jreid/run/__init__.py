"""What a run leaves on disk: work directory, checkpoints, weights, results."""
