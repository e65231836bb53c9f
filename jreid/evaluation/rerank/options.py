"""The three numbers of k-reciprocal re-ranking (Zhong et al., CVPR 2017)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RerankOptions:
    """What all ways of re-ranking take; by default the published values.

    Attributes:
        k1: neighbours for the reciprocal sets; half of it, rounded to even as by
            `np.around`, for the sets of their members.
        k2: neighbours over which an image's reciprocal vector is averaged.
        original_weight: lambda, the weight of the original distance in the result.

    Raises:
        ValueError: a number is out of its range.
    """

    k1: int = 20
    k2: int = 6
    original_weight: float = 0.3

    def __post_init__(self):
        if self.k1 < 1 or self.k2 < 1 or not 0 <= self.original_weight <= 1:
            raise ValueError(
                f"{self}: k1 and k2 must be at least 1 and original_weight in [0, 1];"
                " the published values are 20, 6 and 0.3"
            )

    @property
    def listed(self) -> int:
        """Neighbours that are sought of each image, itself among them."""
        return max(self.k1 + 1, self.k2)


PUBLISHED = RerankOptions()
