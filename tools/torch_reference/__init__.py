"""Losses and training step of the paper's system in plain PyTorch.

The network is `jreid.export.torch_network`. To be read and measured beside Flax's.
"""
