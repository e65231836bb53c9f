"""Settings of the whole test suite; environment variables reach subprocesses too."""

import os
import pathlib

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent

# Tests mean the same on every machine; JAX_PLATFORMS=cuda tries them on a GPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling is most of the time of a test; the key covers program, flags and versions.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".jax_cache"))
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def pytest_collection_modifyitems(items):
    if not os.environ.get("JREID_LONG_TESTS"):
        skip = pytest.mark.skip(reason="needs minutes: set JREID_LONG_TESTS=1")
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(skip)
