"""A file for each data set's protocol, and what all of them share."""
