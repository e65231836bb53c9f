"""Weights of other projects, converted for runs: a program for each of them."""
