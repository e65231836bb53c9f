"""Parameters and statistics between jreid's trees and a PyTorch state dict.

Strict in both directions: every array is used, every place filled, every shape checked.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import Tensor  # pyright: ignore[reportMissingImports]

from jreid.models.torch_names import from_torch_layout, to_torch_layout, torch_name
from jreid.run.leaves import named_leaves

Tree = Any  # nested dicts of arrays

# What PyTorch keeps beside: the necks' bias, frozen at 0, and a count nothing uses.
FROZEN = re.compile(r"branches\.[^.]+\.neck\.bias")
COUNT = ".num_batches_tracked"


def to_state_dict(
    params: Tree, stats: Tree, like: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The state dict that a network of the state dict `like` loads strictly.

    Tensors get the type and place of those of `like`.

    Raises:
      ValueError: an array has no place, a place no array, or shapes differ.
    """
    arrays = {
        torch_name(name): to_torch_layout(np.asarray(leaf))
        for tree in (params, stats)
        for name, leaf in named_leaves(tree).items()
    }
    for name, tensor in like.items():
        if name.endswith(COUNT) or FROZEN.fullmatch(name):
            arrays[name] = np.zeros(tuple(tensor.shape))
    _check({name: a.shape for name, a in arrays.items()}, "jreid", like, "PyTorch")
    return {
        name: torch.from_numpy(arrays[name].copy()).to(tensor)
        for name, tensor in like.items()
    }


def from_state_dict(
    state_dict: Mapping[str, Tensor], params: Tree, stats: Tree
) -> tuple[Tree, Tree]:
    """Trees of NumPy arrays, structured and shaped as `params` and `stats`.

    Those may hold `jax.ShapeDtypeStruct`; arrays keep the state dict's types.

    Raises:
      ValueError: a tensor has no place, a place no tensor, shapes differ, or the bias
        of a neck, which jreid has not, is not 0.
    """
    arrays = {}
    for name, tensor in state_dict.items():
        array = tensor.detach().cpu().numpy()
        if FROZEN.fullmatch(name):
            if array.any():
                raise ValueError(f"{name} is not 0; jreid's necks have no bias")
        elif not name.endswith(COUNT):
            arrays[name] = from_torch_layout(array)
    wanted = {
        torch_name(name): leaf
        for tree in (params, stats)
        for name, leaf in named_leaves(tree).items()
    }
    _check({name: a.shape for name, a in arrays.items()}, "PyTorch", wanted, "jreid")
    return _fill(params, arrays), _fill(stats, arrays)


def _fill(tree, arrays):
    leaves = [arrays[torch_name(name)].copy() for name in named_leaves(tree)]
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)


def _check(given, source, wanted, target):
    problems = [f"{name}: only in {source}" for name in given.keys() - wanted.keys()]
    problems += [f"{name}: only in {target}" for name in wanted.keys() - given.keys()]
    problems += [
        f"{name}: {tuple(given[name])} in {source}, {tuple(wanted[name].shape)} in "
        f"{target}"
        for name in given.keys() & wanted.keys()
        if tuple(given[name]) != tuple(wanted[name].shape)
    ]
    if problems:
        more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise ValueError(
            "the weights are of another network:\n  "
            + "\n  ".join(sorted(problems)[:10] + more)
            + "\nBuild both from the same config and number of identities."
        )
