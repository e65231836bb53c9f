"""Channel attention without weights but one (VSD's trunks, CVPR 2021)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ChannelSelfAttention:
    """x + gamma A x, A the softmax of the channels' negated products.

    gamma starts at 0. Stands before a whole stage, as ResNet(before={"2": ...}).
    """

    def make(self, channels, rngs, dtype):
        """The module, from maps [r h w c] to maps of the same shape."""
        from jreid.models.modules import channel_attention

        return channel_attention.ChannelSelfAttention(dtype=dtype)
