"""What a system does on the host after its last step, as HCML, which learns a metric.

A hook is a part, called once as `hook(embed_train, images) -> statistics`.
`embed_train()` gives the features of all training images by name, in their order;
`images` are these, with `ids` and `modality`. What it gives takes the place of running
statistics of the same paths, which checkpoints hold and every embedding is made with.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jreid.training.host_values import replaced
from jreid.training.state import TrainState

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
    return state._replace(stats=replaced(state.stats, given, _REFUSAL))
