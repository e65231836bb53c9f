"""The libraries of the extra `search`, imported when they are first needed."""

import logging
import logging.config
from typing import Any

from jreid.extra import library


def faiss() -> Any:
    """faiss-cpu."""
    return library("faiss", "search")


def pymilvus() -> Any:
    """Milvus' client, without its way with other libraries' logs.

    On being imported it configures logging anew, which closes the handlers that are
    there, and it logs every error that it raises.
    """
    configure = logging.config.dictConfig
    logging.config.dictConfig = lambda config: None
    try:
        client = library("pymilvus", "search")
    finally:
        logging.config.dictConfig = configure
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return client


def scikit_learn(module: str) -> Any:
    """A module of scikit-learn."""
    return library(f"sklearn.{module}", "search")
