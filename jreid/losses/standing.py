"""Where a term stands: outputs of the network, with a share each, or parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jreid.bounds import at_least
from jreid.lazy import jax
from jreid.shapes import Float

On = str | tuple[tuple[str, float], ...]
"""A name of the network's `names()`, as "logits.v1", or pairs of a name and a share."""


def names_of(on: On | tuple[str, ...]) -> tuple[str, ...]:
    """The outputs that a term stands on; names may also be given without shares."""
    if isinstance(on, str):
        return (on,)
    return tuple(part if isinstance(part, str) else part[0] for part in on)


def stand(on: On, outputs: Mapping[str, Any]) -> list[tuple[float, jax.Array]]:
    """Pairs of share and array; a name alone has the share 1.

    Raises:
      ValueError: the network has no output of that name.
    """
    pairs = ((on, 1.0),) if isinstance(on, str) else on
    return [(share, output(name, outputs)) for name, share in pairs]


def output(name: str, outputs: Mapping[str, Any]) -> jax.Array:
    """The array that "logits.v1" names."""
    kind, _, key = name.partition(".")
    of_kind = outputs.get(kind, {})
    if not isinstance(of_kind, Mapping) or key not in of_kind:
        there = [
            f"{k}.{n}" for k, v in outputs.items() if isinstance(v, dict) for n in v
        ]
        raise ValueError(
            f"a term stands on {name!r}; the network returns {', '.join(sorted(there))}"
        )
    return of_kind[key]


def shared(
    on: On, outputs: Mapping[str, Any], loss: Callable[[jax.Array], jax.Array]
) -> Float[jax.Array, ""]:
    """The sum of `loss` of each array, times its share."""
    (share, array), *more = stand(on, outputs)
    total = share * loss(array)
    for share, array in more:
        total = total + share * loss(array)
    return total


def total(arrays: Iterable[jax.Array]) -> jax.Array:
    """The sum of one array and more, in order."""
    first, *others = arrays
    return sum(others, start=first)


def parameter(path: str, params: Any, *, field: str) -> Any:
    """The parameter at "branches/v1/classifier/scores", or a tree of several.

    Raises:
      ValueError: the network has none there; names the term's `field`.
    """
    found = params
    for key in path.split("/"):
        if not isinstance(found, Mapping) or key not in found:
            there = sorted(found) if isinstance(found, Mapping) else "nothing below"
            raise ValueError(f"{field} is {path!r}; at {key!r} the network has {there}")
        found = found[key]
    return found


def check_weight_and_on(term: Any) -> None:
    """Raises ValueError where a term's weight is negative or it stands on nothing."""
    at_least("weight", term.weight, 0)
    if not names_of(term.on):
        raise ValueError("on is (); allowed is a name, or pairs of a name and a share")
