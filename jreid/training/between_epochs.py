"""What a system does on the host between two epochs, as unsupervised ones do.

A hook is a part, called before each epoch as `hook(state, embed_train, epoch, seed) ->
(labels or None, extra)`. `embed_train()` gives the features of all training images, in
their order; a hook that has a parameter `modality` is also given theirs (0 visible, 1
infrared); `labels` (integers, one per image, -1 for images left out) take the place
of the identities in the epoch's batches; `extra` joins what the system carries. All
shapes stay what they were at the beginning. A hook that makes labels declares in
`classes` how many there may be; then nobody is left out for lacking a modality, since
that would take identities to know.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from jreid.training.forward import asked_for
from jreid.training.host_values import like, replaced
from jreid.training.state import TrainState

LABELS = "labels"  # of the training images, in `state.extra`
_REFUSAL = (
    "between_epochs gives {name!r} of shape {now}, and the state holds {before}: what "
    "a hook gives has the shapes of what memory.init gave"
)


def with_labels(hook: Any, state: TrainState, labels: np.ndarray) -> TrainState:
    """A new state that has room for the labels of a hook, if there is one."""
    if hook is None:
        return state
    if LABELS in state.extra:
        raise ValueError(
            f"a memory's extra has {LABELS!r}, the name of a hook's labels"
        )
    return state._replace(
        extra={**state.extra, LABELS: like(labels.astype(np.int32), state.step)}
    )


def labels_of(state: TrainState) -> np.ndarray | None:
    """The labels that a hook has given the training images."""
    labels = state.extra.get(LABELS)
    return None if labels is None else np.asarray(labels)


def after_hook(
    hook: Any,
    state: TrainState,
    embed_train: Callable[[], dict[str, np.ndarray]],
    epoch: int,
    seed: int,
    modality: np.ndarray,
) -> TrainState:
    """The state with the hook's labels and extra; `modality` is that of the images.

    Raises ValueError if their shapes are not those that the state has.
    """
    given = asked_for(hook, modality=modality)
    labels, extra = hook(state, embed_train, epoch, seed, **given)
    if labels is not None:
        extra = {**extra, LABELS: np.asarray(labels, np.int32)}
    return state._replace(extra=replaced(state.extra, extra, _REFUSAL))
