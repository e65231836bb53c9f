"""The three numbers of k-reciprocal re-ranking (Zhong et al., CVPR 2017)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KReciprocal:
    """What re-ranking leaves open; by default the published values.

    Raises ValueError for a value out of its range.
    """

    k1: int = 20
    """Neighbours for the reciprocal sets; half of it, rounded to even as by
    `np.around`, for the sets of their members."""
    k2: int = 6
    """Neighbours over which an image's reciprocal vector is averaged."""
    original_weight: float = 0.3
    """Lambda, the weight of the original distance in the result."""

    def __post_init__(self):
        if self.k1 < 1 or self.k2 < 1 or not 0 <= self.original_weight <= 1:
            raise ValueError(
                f"k1={self.k1}, k2={self.k2}, original_weight={self.original_weight}: "
                "k1 and k2 must be at least 1 and original_weight in [0, 1]; the "
                "published values are 20, 6 and 0.3"
            )

    @property
    def neighbours(self) -> int:
        """How many of each image must be known, itself among them."""
        return max(self.k1 + 1, self.k2)


PUBLISHED = KReciprocal()
