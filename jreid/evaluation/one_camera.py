"""Pairs of one person in one camera: which of them do not count."""

import numpy as np

from jreid.evaluation.protocols.protocol import Columns, Options, Protocol
from jreid.evaluation.protocols.trial import Trial
from jreid.shapes import Bool, Int


def of_one_camera(
    columns: tuple[Int[np.ndarray, " n"], ...],
    rows: slice,
    others: slice,
    *,
    across: bool,
) -> Bool[np.ndarray, "rows others"]:
    """Pairs of one person in one camera, which hardly differ within a modality.

    Args:
        columns: ids, cameras and modality of all images.
        across: whether those of two modalities are among them; see `leaves_out_across`.
    """
    ids, cameras, modality = (
        column[rows, None] == column[others] for column in columns
    )
    return ids & cameras & (modality | across)


def leaves_out_across(protocol: Protocol, images: Columns, options: Options) -> bool:
    """Whether a query's person in its own camera, in the other modality, is left out.

    So it is in LLCM's protocol. Where a protocol leaves nothing out, one's own cameras
    that take both modalities have all their pairs.

    False for images that the protocol cannot rank.
    """
    if images.cameras is None:
        return False
    try:
        trials = protocol.example_trials(images, options)
    except ValueError:
        return False
    pairs = np.stack([images.ids, images.cameras])
    views = np.unique(pairs, axis=1, return_inverse=True)[1].ravel()
    return any(_leaves_out(trial, views) for trial in trials)


def _leaves_out(trial: Trial, views: Int[np.ndarray, " n"]) -> bool:
    _, query, gallery = np.intersect1d(
        views[trial.query], views[trial.gallery], return_indices=True
    )
    return bool((trial.query_place[query] == trial.gallery_place[gallery]).any())
