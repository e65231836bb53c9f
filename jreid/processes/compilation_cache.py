"""Compiled programs are kept from one start to the next, in a bounded folder."""

import os
import tempfile

import jax

from jreid.cache_folder import cache_folder

BYTES = 2 * 1024**3  # what was used longest ago goes first


def keep_compiled_programs() -> None:
    """From now on; where the folder cannot be written, nothing is kept.

    `JAX_COMPILATION_CACHE_DIR` names another folder, and `JAX_ENABLE_COMPILATION_CACHE`
    set to false turns it off, as in any program that uses JAX.
    """
    if jax.config.values.get("jax_compilation_cache_dir"):
        return
    folder = cache_folder() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", os.fspath(folder))
    jax.config.update("jax_compilation_cache_max_size", BYTES)
