"""Sinkhorn distance of two modalities' predictions (VSD's mutual learning)."""

from __future__ import annotations

from dataclasses import dataclass

from jreid.bounds import at_least
from jreid.lazy import jax, jnp
from jreid.losses.primitives import widen
from jreid.losses.standing import check_weight_and_on, output
from jreid.shapes import Float


def sinkhorn_distance(
    x: Float[jax.Array, "n d"],
    y: Float[jax.Array, "m d"],
    *,
    epsilon: float = 0.01,
    rounds: int = 100,
    tolerance: float = 0.1,
) -> Float[jax.Array, ""]:
    """Cost of moving the rows of x to those of y, all of equal weight (VSD's code).

    The cost of two rows is their squared Euclidean distance. Log-domain rounds
    u += epsilon (log mu - LSE_j M), v += epsilon (log nu - LSE_i M) with
    M = (-C + u + v) / epsilon end when the sum of |changes of u| is below `tolerance`;
    the value is the sum of exp(M) C, the gradient goes through the rounds. 1e-8 is
    added to the masses and 1e-6 to the sums before their logarithms.
    """
    x, y = widen(x), widen(y)
    cost = jnp.sum(jnp.square(x[:, None, :] - y[None, :, :]), axis=2)
    log_mu, log_nu = (
        jnp.log(jnp.asarray(1 / n + 1e-8, cost.dtype)) for n in cost.shape
    )

    def scaled(u, v):
        return (-cost + u[:, None] + v[None, :]) / epsilon

    def a_round(state, _):
        u, v, going = state
        new_u = u + epsilon * (log_mu - _log_sum(scaled(u, v), axis=1))
        new_v = v + epsilon * (log_nu - _log_sum(scaled(new_u, v), axis=0))
        changed = jnp.sum(jnp.abs(new_u - u))
        u, v = jnp.where(going, new_u, u), jnp.where(going, new_v, v)
        return (u, v, going & (changed >= tolerance)), None

    zeros = (jnp.zeros(len(x), cost.dtype), jnp.zeros(len(y), cost.dtype))
    (u, v, _), _ = jax.lax.scan(a_round, (*zeros, jnp.array(True)), None, rounds)
    return jnp.sum(jnp.exp(scaled(u, v)) * cost)


def _log_sum(x, axis):
    return jnp.log(jnp.sum(jnp.exp(x), axis=axis) + 1e-6)


@dataclass(slots=True)
class Sinkhorn:
    """Sinkhorn distance of the softmax of two sets of logits, rows as points (VSD)."""

    weight: float = 1.0
    on: str = "logits.infrared"
    """Logits by name."""
    other: str = "logits.visible"
    """Logits by name."""
    epsilon: float = 0.01
    """Of the entropy that regularises."""
    rounds: int = 100
    """At most."""
    tolerance: float = 0.1
    """Sum of changes below which the rounds end."""

    def check(self) -> None:
        """Raises ValueError naming a field that is out of bounds."""
        check_weight_and_on(self)
        at_least("epsilon", self.epsilon, 1e-4)
        at_least("rounds", self.rounds, 1.0)
        at_least("tolerance", self.tolerance, 0.0)

    def __call__(self, outputs, batch, rng=None) -> Float[jax.Array, ""]:
        """The term's value, not yet weighted."""
        x, y = (
            jax.nn.softmax(widen(output(name, outputs)), axis=1)
            for name in (self.on, self.other)
        )
        return sinkhorn_distance(
            x,
            y,
            epsilon=self.epsilon,
            rounds=self.rounds,
            tolerance=self.tolerance,
        )
