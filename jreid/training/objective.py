"""The objective: a mapping from names to weighted terms, summed into one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from jreid.lazy import jax, jnp

Outputs = Mapping[str, Any]
"""What the network returns for r rows: `outputs["features"][branch]` before the neck
[r d], `outputs["embeddings"][branch]` after it [r d], `outputs["logits"][name]`
[r classes], where `name` is a branch (v1) or its refinement (z1)."""

Batch = Mapping[str, Any]
"""`batch["ids"]` (labels from 0), `batch["modality"]`, `batch["view"]`, `batch["slot"]`
(a row's place in its view) and others, integers of shape [r]; `batch["params"]`, the
network's parameters."""


@runtime_checkable
class Term(Protocol):
    """What an objective sums: a part that is called."""

    weight: float

    def __call__(
        self, outputs: Outputs, batch: Batch, rng: jax.Array | None = None
    ) -> jax.Array: ...


Objective = Callable[..., tuple["jax.Array", dict[str, "jax.Array"]]]


def make_objective(terms: Mapping[str, Term], player: str = "") -> Objective:
    """Returns `objective(outputs, batch, rng=None) -> (total, metrics)`.

    The total is the weighted sum in float32. `metrics` holds it as "loss" and the
    unweighted value of every term as "loss/<name>". A term of weight 0 is not computed.
    Each term gets random numbers of its own.

    Args:
      player: whose terms they are, where several take turns; errors name it.

    Raises:
      ValueError: if a weight is not finite, or no term has a weight other than 0.
    """
    for name, term in terms.items():
        if not math.isfinite(term.weight):
            raise ValueError(
                f"the weight of the term {name!r} is {term.weight}; give a finite "
                "number (0 leaves the term out)"
            )
    if not any(term.weight for term in terms.values()):
        raise ValueError(
            f"nothing to minimise: of the terms {sorted(terms)} none has a weight "
            "other than 0; give at least one a weight"
        )

    def objective(outputs: Outputs, batch: Batch, rng: jax.Array | None = None):
        total = jnp.zeros(())  # float32, or float64 where JAX has it enabled
        values = {}
        for index, (name, term) in enumerate(terms.items()):
            if term.weight != 0:
                own = None if rng is None else jax.random.fold_in(rng, index)
                value = _value(
                    f"{player}/{name}".lstrip("/"), term, outputs, batch, own
                )
                values[f"loss/{name}"] = value
                total = total + (term.weight * value).astype(total.dtype)
        return total, {"loss": total} | values

    return objective


def _value(name: str, term: Term, outputs: Outputs, batch: Batch, rng: Any) -> Any:
    """The term's value.

    Raises:
      ValueError: it asks for what is not there; names the term.
    """
    try:
        return term(outputs, batch, rng)
    except ValueError as error:
        raise ValueError(f"the term {name}: {error}") from error
    except KeyError as error:
        there = [
            f"{kind}.{key}"
            for kind, of_kind in outputs.items()
            if isinstance(of_kind, Mapping)
            for key in of_kind
        ]
        raise ValueError(
            f"the term {name} asks for {error}; allowed is what the network returns "
            f"then, {', '.join(sorted(there))}, and what is known of the batch, "
            f"{', '.join(sorted(batch))}"
        ) from error
