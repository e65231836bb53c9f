"""What the shares of an explanation are worth, by what follows the last map."""

from typing import Any, Literal

from jreid.models.embedding import Embedding
from jreid.models.pooling import Average, GeM, Maximum, Stripe
from jreid.models.two_stream import Branch, TwoStream

Kind = Literal["exact", "gradient-weighted"]


def kind_of(network: TwoStream, embedding: Embedding, vector: str) -> tuple[Kind, bool]:
    """How a network's vectors are explained, and whether the shares are a sum.

    Args:
        vector: "fused", "plain", or the name of a branch.
    """
    used = (
        {vector}
        if vector not in ("fused", "plain")
        else set(embedding.names) or {branch.name for branch in network.branches}
    )
    for branch in reversed(network.branches):
        if branch.name in used and branch.adds:
            used.add(branch.adds)
    branches = [branch for branch in network.branches if branch.name in used]
    affine = all(map(_affine_after_pool, branches))
    pools = [_pool(branch) for branch in branches]
    if affine and all(isinstance(pool, Average) for pool in pools):
        return "exact", True
    homogeneous = all(isinstance(pool, Average | GeM | Maximum) for pool in pools)
    return "gradient-weighted", affine and homogeneous


def _affine_after_pool(branch: Branch) -> bool:
    straight = branch.project is None or not getattr(branch.project, "relu", True)
    return straight and not (branch.adds and branch.added == "normalised")


def _pool(branch: Branch) -> Any:
    pool = branch.pool
    return pool.pool if isinstance(pool, Stripe) else pool


def statement(kind: Kind, sums: bool, similarity: float, constants: list[float]) -> str:
    """In words, with the constants of the query and of the gallery image."""
    parts = [f"{constant:+.3f}" for constant in constants]
    if not sums:
        return (
            "Gradient-weighted: map times gradient at the last map. Its pooling, or "
            "what is after it, is not homogeneous, so the shares are no sum: they miss "
            f"the similarity of {similarity:.3f} by {parts[0]} (query) and {parts[1]} "
            "(gallery image)."
        )
    ends = (
        f"sum to the similarity of {similarity:.3f} together with a constant "
        f"(BatchNorm's means) of {parts[0]} for the query and {parts[1]} for the "
        "gallery image. The vectors' lengths are held as constants"
    )
    if kind == "exact":
        return (
            "Exact: with average pooling the similarity is affine in the last map. "
            f"The shares of its locations {ends}."
        )
    return (
        "Gradient-weighted: the pooling is homogeneous of degree 1, so that by Euler's "
        f"theorem the shares of the last map's locations {ends}; a share is not what "
        "the similarity would lose without the location."
    )
