"""The page that searches a gallery, and the same as a REST interface."""
