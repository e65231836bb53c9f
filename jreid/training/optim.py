"""The optimiser: learning-rate schedules, and gradient transformations by groups."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import optax

PRETRAINED = ("stems", "trunk")
"""Top-level names of the parameters that ImageNet weights fill, with the non-local
blocks inside the trunk; all others ("branches", "bottleneck") start from scratch."""


def learning_rate_schedule(
    *,
    peak: float,
    steps_per_epoch: int,
    warmup_epochs: int = 10,
    milestones: tuple[int, ...] = (20, 50),
    factors: tuple[float, ...] = (0.1, 0.01),
) -> optax.Schedule:
    """Warm-up, then steps, as a function from the step to the learning rate.

    The rate is constant within an epoch. In epoch e, counted from 0, it is
    `peak * (e + 1) / warmup_epochs` during warm-up, then `peak`, and from epoch
    `milestones[i]` on `peak * factors[i]` (section 3.2; AGW train.py).

    Raises:
      ValueError: if there is not one factor per milestone, if the milestones do not
        increase or fall into the warm-up, or if `steps_per_epoch` is not positive.
    """
    if len(milestones) != len(factors):
        raise ValueError(
            f"milestones {milestones} and factors {factors} differ in length; give one "
            "factor, relative to the peak, for each milestone."
        )
    starts = (warmup_epochs - 1, *milestones)
    if any(after <= before for before, after in pairwise(starts)):
        raise ValueError(
            f"milestones are {milestones}; give epochs that increase, the first not "
            f"before the end of the {warmup_epochs} epochs of warm-up."
        )
    if steps_per_epoch < 1:
        raise ValueError(f"steps_per_epoch is {steps_per_epoch}; give at least 1.")

    def schedule(step):
        epoch = jnp.asarray(step) // steps_per_epoch
        ramp = jnp.minimum((epoch + 1) / max(warmup_epochs, 1), 1.0)
        passed = jnp.sum(epoch >= jnp.asarray(milestones, dtype=jnp.int32))
        return peak * ramp * jnp.asarray((1.0, *factors))[passed]

    return schedule


def cosine_schedule(
    *, peak: float, total_steps: int, warmup_steps: int = 0
) -> optax.Schedule:
    """Linear warm-up to `peak` over `warmup_steps`, then half a cosine to 0.

    The first step already moves: its rate is `peak / warmup_steps`.

    Raises:
      ValueError: if the warm-up does not end before `total_steps`.
    """
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"warmup_steps is {warmup_steps} of total_steps {total_steps}; allowed is "
            f"0 to {total_steps - 1}."
        )

    def schedule(step):
        ramp = jnp.minimum((step + 1) / max(warmup_steps, 1), 1.0)
        progress = (step - warmup_steps) / (total_steps - warmup_steps)
        return peak * ramp * 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(progress, 0.0, 1.0)))

    return schedule


def lr_multiplier(path: str, *, pretrained: float = 0.1) -> float:
    """Factor on the learning rate of the parameter at `path` ("trunk/layer1/0/...").

    `pretrained` for the parameters under `PRETRAINED`, 1 for the rest (AGW train.py).
    """
    return pretrained if path.split("/")[0] in PRETRAINED else 1.0


def decays(path: str) -> bool:
    """Whether weight decay applies: to everything but the exponent p of GeM pooling."""
    return not f"/{path}".endswith("/pool/p")


def make_tx(
    schedule: optax.Schedule,
    *,
    multiplier: Callable[[str], float] = lr_multiplier,
    decay: Callable[[str], bool] = decays,
    weight_decay: float = 5e-4,
    momentum: float = 0.9,
    nesterov: bool = True,
    clip_norm: float | None = None,
    optimizer: str = "sgd",
) -> optax.GradientTransformation:
    """Builds the gradient transformation; its updates are added to the parameters.

    "sgd" is that of torch.optim.SGD: the weight decay is added to the gradient, then
    comes momentum, then the learning rate of the group. "adamw" is that of
    torch.optim.AdamW: `momentum` is its beta1, and `nesterov` does not apply.

    Args:
      schedule: from the step to the learning rate.
      multiplier: from a parameter's path to the factor on its learning rate.
      decay: from a parameter's path to whether weight decay applies to it.
      weight_decay: coefficient of the L2 penalty's gradient.
      momentum: fraction of the running sum of gradients that is kept.
      nesterov: whether momentum looks one step ahead.
      clip_norm: largest global norm of the raw gradients, or None for no clipping.
      optimizer: "sgd" or "adamw".

    A path joins the keys of the parameter tree with "/".
    """
    decayed = optax.add_decayed_weights(
        weight_decay,
        mask=lambda params: _map_paths(lambda path, _: decay(path), params),
    )
    if optimizer == "sgd":
        direction = (decayed, optax.trace(momentum, nesterov=nesterov))
    elif optimizer == "adamw":
        direction = (optax.scale_by_adam(b1=momentum), decayed)
    else:
        raise ValueError(f"optimizer is {optimizer!r}; allowed are 'sgd' and 'adamw'.")
    clip = () if clip_norm is None else (optax.clip_by_global_norm(clip_norm),)
    by_group = optax.stateless(
        lambda updates, _: _map_paths(lambda path, u: multiplier(path) * u, updates)
    )
    return optax.chain(
        *clip, *direction, optax.scale_by_learning_rate(schedule), by_group
    )


def _map_paths(function: Callable[[str, Any], Any], tree: Any) -> Any:
    def at(path, leaf):
        return function(jax.tree_util.keystr(path, simple=True, separator="/"), leaf)

    return jax.tree_util.tree_map_with_path(at, tree)
