"""Patterns of parameters' paths: regular expressions, searched from the start."""

import re


def check_pattern(field: str, pattern: str) -> None:
    """Raises ValueError unless the pattern is a regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"{field} is {pattern!r}, no regular expression ({error}); allowed is one "
            'that parameters\' paths are searched for, as "stems|trunk"'
        ) from error
