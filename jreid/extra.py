"""Libraries of the package's extras, imported when they are first needed."""

import importlib
from typing import Any


def library(name: str, extra: str) -> Any:
    """A module of an extra; ValueError, with the remedy, where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"{name} is not installed ({error}): pip install 'jreid[{extra}]'"
        ) from None
