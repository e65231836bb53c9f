"""Bounds of a part's numbers, and what its inner parts need, in one wording."""

import inspect
from typing import Any

Number = int | float


def at_least(field: str, value: Number, lowest: Number) -> None:
    """Raises ValueError unless `value` is `lowest` or more."""
    if not value >= lowest:  # so written that NaN is refused as well
        raise ValueError(f"{field} is {value}; allowed is {lowest:g} and more")


def between(field: str, value: Number, lowest: Number, highest: Number) -> None:
    """Raises ValueError unless `value` is `lowest` to `highest`."""
    if not lowest <= value <= highest:
        raise ValueError(f"{field} is {value}; allowed is {lowest:g} to {highest:g}")


def makes_module(field: str, part: Any) -> None:
    """Raises ValueError unless `part` is one that a network's modules are made by."""
    make = getattr(part, "make", None)
    try:
        if make is None:
            raise TypeError("it has none")
        inspect.signature(make).bind("channels", "rngs", "dtype")
    except TypeError as error:  # an optimiser's, say, takes something else
        raise ValueError(
            f"{field} is {part!r}; it needs make(channels, rngs, dtype)"
        ) from error
