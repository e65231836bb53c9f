"""A Vision Transformer's pretrained weights: their names, shapes and positions.

A file holds the arrays by our own names, positions for the square grid of patches of
the images that they were trained on. A run with other images or overlapping patches
has another grid, and takes the positions interpolated to it.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jreid.models.modules.keys import WeightKeys
from jreid.models.vision_transformer import VisionTransformer
from jreid.run.leaves import named_leaves
from jreid.run.published_weights import FROM_SCRATCH
from jreid.run.weights_file import WeightsFile, write_weights

FORMAT = "jreid ViT weights, version 1"
HEAD = ("neck", "classifier")
"""Of the network what no file has."""
KINDS = ("patch", "width", "blocks", "hidden")
"""Fields that file and network must have alike."""
POSITIONS = "positions"


def transformer_shapes(part: VisionTransformer) -> dict[str, tuple[int, ...]]:
    """Shape of every array but the head's, by name."""
    made = nnx.eval_shape(lambda: part.make(1, WeightKeys(0), jnp.float32))
    leaves = named_leaves(nnx.to_pure_dict(nnx.state(made, nnx.Param)))
    return {
        name: tuple(leaf.shape)
        for name, leaf in leaves.items()
        if not name.startswith(HEAD)
    }


def on_grid(part: VisionTransformer, side: int) -> VisionTransformer:
    """The same for square images of `side` patches that do not overlap."""
    size = (side * part.patch, side * part.patch)
    return dataclasses.replace(part, size=size, stride=part.patch)


def write_transformer(
    path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]
) -> None:
    """Writes the file whole or not at all.

    Args:
        path: ends with .npz; its folder is made if missing.
        arrays: as `transformer_shapes` names them, float32.
        about: JSON values; those of KINDS and "grid", patches on a side of the square
            images, are needed to read the file.
    """
    write_weights(path, arrays, {"format": FORMAT, **about})


def fitted(
    file: WeightsFile, part: VisionTransformer, path: Path
) -> dict[str, np.ndarray]:
    """The file's arrays as the network needs them, positions interpolated.

    Raises ValueError for weights of another transformer, or arrays that do not fit it.
    """
    own = {name: getattr(part, name) for name in KINDS}
    found = {name: file.about[name] for name in KINDS}
    if found != own:
        raise ValueError(
            f"{path} holds a transformer of {_told(found)}, but config.network has "
            f"{_told(own)}: set them alike, or {FROM_SCRATCH}"
        )
    side = file.about["grid"]
    expected = transformer_shapes(on_grid(part, side))
    there = {name: array.shape for name, array in file.arrays.items()}
    if differing := there.items() ^ expected.items():
        raise ValueError(
            f"{path} does not fit a transformer of {_told(own)}: {min(differing)[0]} "
            "is missing, unknown or of another shape; convert the original checkpoint "
            "anew"
        )
    arrays = dict(file.arrays)
    arrays[POSITIONS] = interpolated(arrays[POSITIONS], side, part.grid())
    return arrays


def interpolated(positions: np.ndarray, side: int, grid: tuple[int, int]) -> np.ndarray:
    """Positions [1 1+side*side c] for another grid, [1 1+h*w c]; the first stays.

    Bilinear between the centres of patches and without smoothing, as the released code
    of PMT and TransReID has it.
    """
    token, places = positions[0, :1], positions[0, 1:]
    if grid == (side, side):
        return positions
    width = places.shape[1]
    square = jnp.asarray(places.reshape(side, side, width))
    resized = jax.image.resize(square, (*grid, width), "linear", antialias=False)
    return np.concatenate([token, np.asarray(resized).reshape(-1, width)])[None]


def _told(kinds: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {kinds[name]}" for name in KINDS)
