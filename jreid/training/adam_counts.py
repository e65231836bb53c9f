"""Adam's count of updates: one for all parameters, or one for each of them.

Adam's running means begin at 0, which is made up for by how many updates went into
them. torch.optim.Adam counts them for each parameter; optax's one count is the same
only as long as no parameter rests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from jreid.lazy import jax, jnp, optax


class AdamState(NamedTuple):
    """That of optax.scale_by_adam, but for the count."""

    count: Any  # a scalar, or one in the place of each parameter
    mu: Any
    nu: Any


def scale_by_adam(b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """optax.scale_by_adam, which also takes a state that `counted_apart` has made."""
    for_all = optax.scale_by_adam(b1=b1, b2=b2, eps=eps)

    def init(params):
        state: Any = for_all.init(params)
        return AdamState(*state)

    def scaled(updates, *state):
        own: Any
        updates, own = for_all.update(updates, optax.ScaleByAdamState(*state))
        return updates, AdamState(*own)

    def update(updates, state, params=None):
        if not isinstance(state.count, Mapping):
            return scaled(updates, *state)
        found = jax.tree.map(scaled, updates, *state)
        pair = jax.tree.structure((0, AdamState(0, 0, 0)))
        return jax.tree.transpose(jax.tree.structure(updates), pair, found)

    return optax.GradientTransformation(init, update)


def counted_apart(opt_state: Any) -> Any:
    """An optimiser's new state, where each of Adam's parameters has its own count."""

    def apart(part):
        if not isinstance(part, AdamState):
            return part
        zeros = jax.tree.map(lambda _: jnp.zeros_like(part.count), part.mu)
        return part._replace(count=zeros)

    return jax.tree.map(
        apart, opt_state, is_leaf=lambda part: isinstance(part, AdamState)
    )
