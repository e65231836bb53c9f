"""Bounds of a part's numbers, refused with one wording."""

Number = int | float


def at_least(field: str, value: Number, lowest: Number) -> None:
    """Raises ValueError unless `value` is `lowest` or more."""
    if not value >= lowest:  # so written that NaN is refused as well
        raise ValueError(f"{field} is {value}; allowed is {lowest:g} and more")


def between(field: str, value: Number, lowest: Number, highest: Number) -> None:
    """Raises ValueError unless `value` is `lowest` to `highest`."""
    if not lowest <= value <= highest:
        raise ValueError(f"{field} is {value}; allowed is {lowest:g} to {highest:g}")
