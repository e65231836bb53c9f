"""The libraries of the extra `search`, imported when they are first needed."""

import importlib
import logging
import logging.config
from typing import Any


def faiss() -> Any:
    """faiss-cpu."""
    return _library("faiss")


def pymilvus() -> Any:
    """Milvus' client, without its way with other libraries' logs.

    On being imported it configures logging anew, which closes the handlers that are
    there, and it logs every error that it raises.
    """
    configure = logging.config.dictConfig
    logging.config.dictConfig = lambda config: None
    try:
        library = _library("pymilvus")
    finally:
        logging.config.dictConfig = configure
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return library


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
