"""The images of a network's views, in order, each with what belongs to it."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jreid.data.rows import positions

Images = Mapping[str, Float[Array, "_ h w 3"]]
"""The images of each view; views may differ in length."""


class Column(NamedTuple):
    """The images of one view, their stem, modalities, and places among all images."""

    images: Float[Array, "n h w 3"]
    stem: str
    modality: Int[Array, " n"]
    source: Int[np.ndarray, " n"]


def view_columns(images, stems, modality, known) -> dict[str, Column]:
    """The views' columns in the order of `stems`: jit sorts the keys of `images`."""
    if nameless := [view for view in images if view not in stems]:
        raise ValueError(f"stems are {dict(stems)}, without one for {nameless}")
    images = {view: images[view] for view in stems if view in images}
    if unknown := {view: stems[view] for view in images if stems[view] not in known}:
        raise ValueError(f"stems are {unknown}; allowed are {list(known)}")
    if modality is None:
        modality = {
            view: jnp.full(len(x), known.index(stems[view]), jnp.int32)
            for view, x in images.items()
        }
    source = positions({view: len(x) for view, x in images.items()})
    return {
        view: Column(x, stems[view], modality[view], source[view])
        for view, x in images.items()
    }
