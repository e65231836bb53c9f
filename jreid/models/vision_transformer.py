"""The Vision Transformer (Dosovitskiy et al., ICLR 2021) of overlapping patches."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least, between

STEM = "any"


@dataclass(slots=True)
class VisionTransformer:
    """One transformer for the images of all modalities: ViT-B/16 with stride 12.

    Feature v1 is the class token after the last LayerNorm, embedding v1 the BatchNorm
    of it, on which the classifier stands (TransReID's baseline, ICCV 2021).
    """

    size: tuple[int, int] = (256, 128)
    """Height and width of the images: each patch has a position that is learned."""
    patch: int = 16
    """Pixels of a patch's side."""
    stride: int = 12
    """Pixels from one patch to the next; below `patch` they overlap."""
    width: int = 768
    """Of a token, and of the feature."""
    blocks: int = 12
    """How many blocks of attention and perceptron there are."""
    heads: int = 12
    """Of each attention; they share the width."""
    hidden: int = 3072
    """Width of each perceptron's hidden layer."""
    dropout: float = 0.03
    """Fraction dropped, in training, of tokens with their positions, of attentions'
    outputs and in perceptrons; none of the attentions' weights."""
    drop_path: float = 0.1
    """Probability, in training, that an image skips the last block's attention, and its
    perceptron; of the first it is 0, and linear between."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        for name in ("patch", "stride", "width", "blocks", "heads", "hidden"):
            at_least(name, getattr(self, name), 1)
        between("dropout", self.dropout, 0, 0.99)
        between("drop_path", self.drop_path, 0, 0.99)
        if min(self.size) < self.patch:
            raise ValueError(
                f"size is {self.size}; allowed is {self.patch} and more, the patch"
            )
        if self.width % self.heads:
            raise ValueError(
                f"heads is {self.heads}; allowed are divisors of the width, "
                f"{self.width}"
            )

    def check_images(self, size: tuple[int, int]) -> None:
        """Raises ValueError unless images of this height and width fit."""
        if tuple(size) != tuple(self.size):
            height, width = size
            raise ValueError(
                f"size is {tuple(size)}; allowed is that of the transformer's "
                f"positions, {tuple(self.size)}: give --config.network.size {height} "
                f"{width} as well"
            )

    def grid(self) -> tuple[int, int]:
        """Patches of an image from top to bottom and from left to right."""
        height, width = ((n - self.patch) // self.stride + 1 for n in self.size)
        return height, width

    def names(self) -> tuple[str, ...]:
        """What a term can stand on."""
        return ("features.v1", "embeddings.v1", "logits.v1")

    def stem_names(self) -> tuple[str, ...]:
        """The one stem that a view can name."""
        return (STEM,)

    def make(self, classes, rngs, dtype):
        """The network for that many training identities."""
        from jreid.models.modules import vision_transformer

        return vision_transformer.VisionTransformerNetwork(
            self, classes, dtype=dtype, rngs=rngs
        )
