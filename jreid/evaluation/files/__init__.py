"""Files of features and of scores."""
