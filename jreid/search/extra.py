"""The libraries of the extra `search`, imported when they are first needed."""

import importlib
from typing import Any


def faiss() -> Any:
    """faiss-cpu."""
    return _library("faiss")


def pymilvus() -> Any:
    """Milvus' client."""
    return _library("pymilvus")


def scikit_learn(module: str) -> Any:
    """A module of scikit-learn."""
    return _library(f"sklearn.{module}")


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"{name} is not installed ({error}): pip install 'jreid[search]'"
        ) from None
