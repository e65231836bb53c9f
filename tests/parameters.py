"""Parameters of a test that runs slowly for most of them."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_but(values: Iterable[Any], *, quick: Collection[Any]) -> list[Any]:
    """Parameters of `pytest.mark.parametrize` that are slow, but for the quick ones."""
    slow = [pytest.mark.slow]
    return [pytest.param(v, marks=[] if v in quick else slow) for v in values]


def slow(*values: Any) -> Any:
    """The values of one slow case, of one parameter or of several."""
    return pytest.param(*values, marks=pytest.mark.slow)
