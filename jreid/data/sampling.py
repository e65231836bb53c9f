"""Batches of P identities with K visible and K infrared images each, by step."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int

Sampler = Callable[[int], Int[np.ndarray, "n m"]]


def make_sampler(
    ids: Int[np.ndarray, " b"],
    modality: Int[np.ndarray, " b"],
    *,
    identities: int,
    images: int,
    seed: int,
) -> Sampler:
    """A function from the step to that step's batch, which depends on nothing else.

    Every batch holds `identities` distinct identities, drawn uniformly (AGW
    `utils.py`, IdentitySampler). Of each identity it holds `images` images per
    modality, all distinct where the identity has that many; where it has fewer, each
    is used as evenly as can be. (AGW draws with replacement always.)

    Args:
        ids: identity of each training image, any numbers.
        modality: 0 visible, 1 infrared.
        identities: P, identities in a batch.
        images: K, images per identity and modality.
        seed: of the whole run, not negative.

    Returns:
        `sample(step)` with rows n = P K, the slots of the batch, and columns m = 2:
        the position in `ids` of the slot's visible and of its infrared image. Both
        show the same identity; an identity's K slots follow each other.

    Raises:
        ValueError: P or K below 1, a negative seed, or fewer than P identities with
            images of both modalities.
    """
    for name, value in (("identities (P)", identities), ("images (K)", images)):
        if value < 1:
            raise ValueError(f"{name} is {value}; at least 1 is needed")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it must be 0 or greater")
    members = _positions_of_paired_identities(ids, modality)
    if not members:
        raise ValueError(
            f"none of the {len(np.unique(ids))} training identities has visible and "
            "infrared images; a batch needs identities with both"
        )
    if len(members) < identities:
        raise ValueError(
            f"a batch of identities = {identities} (P) is asked for, but only "
            f"{len(members)} of the {len(np.unique(ids))} training identities have "
            "visible and infrared images; set identities to at most "
            f"{len(members)}, on the command line with "
            f"--config.data.identities={len(members)}"
        )

    def sample(step: int) -> Int[np.ndarray, "n m"]:
        rng = np.random.default_rng([seed, step])
        chosen = rng.choice(len(members), identities, replace=False)
        return np.concatenate(
            [
                np.stack([_draw(rng, rows, images) for rows in members[i]], axis=1)
                for i in chosen
            ]
        )

    return sample


def steps_per_epoch(
    modality: Int[np.ndarray, " b"], *, identities: int, images: int
) -> int:
    """Batches after which the larger modality has been drawn once on average.

    floor(N / (P K)) + 1 with N the larger of the two counts (AGW `utils.py` and
    `train.py`): 696 on SYSU-MM01 with P = 8, K = 4; 65 on RegDB, 86 with P = 6.
    """
    largest = int(np.bincount(modality, minlength=2).max())
    return largest // (identities * images) + 1


def _positions_of_paired_identities(
    ids: Int[np.ndarray, " b"], modality: Int[np.ndarray, " b"]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per identity with both modalities, by number: visible and infrared positions."""
    order = np.argsort(ids, kind="stable")
    starts = np.flatnonzero(np.diff(ids[order])) + 1
    pairs = [
        (rows[modality[rows] == 0], rows[modality[rows] == 1])
        for rows in np.split(order, starts)
    ]
    return [pair for pair in pairs if len(pair[0]) and len(pair[1])]


def _draw(
    rng: np.random.Generator, rows: Int[np.ndarray, " n"], count: int
) -> Int[np.ndarray, " k"]:
    """`count` of `rows` in random order, each repeated only after all were used."""
    rounds = -(-count // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:count]
