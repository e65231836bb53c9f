"""A part of many images that keeps people, and of each all that tells them apart."""

import bisect

import numpy as np

from jreid.shapes import Int

_FEWEST = 2  # images of a view that are kept: one has no pair within its view


def spread_over_people(
    ids: Int[np.ndarray, " n"], views: Int[np.ndarray, " n"], most: int
) -> Int[np.ndarray, " rows"]:
    """Rows of `most` images or fewer, ascending; all where there are no more.

    Of each person in each view the same number at most, evenly spread. Where two of
    each are too many, every k-th person alone, so that nobody loses a modality.

    Args:
        ids: who is on each image.
        views: what its person's other images are told apart by, as a camera's number
            in each modality.
        most: one person alone may have more, two of each view.
    """
    if len(ids) <= most:
        return np.arange(len(ids))
    people = np.unique(ids)
    pairs = np.stack([ids, views])
    found = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
    (who, _), view_of, counts = found[0], found[1].ravel(), found[2]
    step = -(-_kept(counts, _FEWEST) // most)
    chosen = np.isin(who, people[::step])
    while step < len(people) and _kept(counts[chosen], _FEWEST) > most:
        step += 1
        chosen = np.isin(who, people[::step])
    each = max(_FEWEST, _largest(counts[chosen], most))
    place, size = _places(view_of, counts), counts[view_of]
    # Of the places 0 to size - 1 these are `each`, evenly spread, or all.
    taken = place * each // size > (place - 1) * each // size
    return np.flatnonzero(chosen[view_of] & taken)


def _kept(counts: Int[np.ndarray, " v"], each: int) -> int:
    return int(np.minimum(counts, each).sum())


def _largest(counts: Int[np.ndarray, " v"], most: int) -> int:
    """The largest number of each view with which no more than `most` are kept."""
    numbers = range(1, int(counts.max()) + 1)
    return bisect.bisect_right(numbers, most, key=lambda each: _kept(counts, each))


def _places(
    view_of: Int[np.ndarray, " n"], counts: Int[np.ndarray, " v"]
) -> Int[np.ndarray, " n"]:
    """How many images of its view come before each."""
    order = np.argsort(view_of, kind="stable")
    places = np.empty(len(order), np.int64)
    first = np.cumsum(counts) - counts
    places[order] = np.arange(len(order)) - first[view_of[order]]
    return places
