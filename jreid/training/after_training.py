"""What a system does on the host after its last step, as HCML, which learns a metric.

A hook is a part, called once as `hook(embed_train, images) -> statistics`.
`embed_train()` gives the features of all training images by name, in their order;
`images` are these, with `ids` and `modality`. What it gives takes the place of running
statistics of the same paths, which checkpoints hold and every embedding is made with.
Its `statistics` are the first names of these paths: where more steps follow an end,
they are again what they were at first, so that the hook never sees its own work.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jreid.training.host_values import replaced
from jreid.training.state import TrainState, Tree

_REFUSAL = (
    "after_training gives {name!r} of shape {now}, and the network's statistics hold "
    "{before}: use the network that the hook is for"
)


def after_training(
    hook: Any,
    state: TrainState,
    embed_train: Callable[[], dict[str, np.ndarray]],
    images: Any,
) -> TrainState:
    """The state with the statistics that the hook, if there is one, gives.

    Raises ValueError if the network has none of their paths and shapes.
    """
    if hook is None:
        return state
    given = jax.tree.map(np.float32, hook(embed_train, images))  # as statistics are
    if more := given.keys() - set(hook.statistics):
        raise ValueError(
            f"after_training gives {', '.join(sorted(more))}, and its statistics are "
            f"{hook.statistics!r}: name all that it gives"
        )
    return state._replace(stats=replaced(state.stats, given, _REFUSAL))


def first_statistics(hook: Any, state: TrainState) -> dict[str, Tree]:
    """Those of a new state that the hook will give, on the host.

    Raises ValueError if the network has none of a name.
    """
    names = () if hook is None else hook.statistics
    if missing := [name for name in names if name not in state.stats]:
        raise ValueError(
            f"config.after_training gives {', '.join(missing)}, which the network does "
            f"not have; its statistics are {', '.join(state.stats)}"
        )
    return {name: jax.device_get(state.stats[name]) for name in names}


def before_end(state: TrainState, first: Mapping[str, Tree]) -> TrainState:
    """The state with these statistics in the places of what an end has left."""
    return state._replace(stats=replaced(state.stats, first, _REFUSAL))
