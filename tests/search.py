"""What hypothesis tries: the same few examples in every run, or a search.

`pytest -m hypothesis --hypothesis-seed=N` tries others, and with JREID_SEARCH=10 ten
times as many. The same seed and factor give the same examples again.
"""

import os

from hypothesis import settings

FACTOR = int(os.environ.get("JREID_SEARCH", "1"))

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", database=None, deadline=None, print_blob=True)


def choose(seed: int | None) -> None:
    """What all tests do from here on; pytest seeds hypothesis itself."""
    settings.load_profile("same" if seed is None else "search")


def examples(number: int, **options) -> settings:
    """Stands above `@given`, as `hypothesis.settings` does."""
    return settings(max_examples=number * FACTOR, **options)
