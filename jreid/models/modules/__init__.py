"""The nnx modules, which the parts in jreid.models import when a network is made."""
