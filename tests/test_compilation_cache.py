"""Compiled programs are kept in a folder of ours, or not, but never with an error."""

import os
import subprocess
import sys

CODE = """
import jax, jax.numpy as jnp
from jreid.processes.compilation_cache import BYTES, keep_compiled_programs
keep_compiled_programs()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((4, 4))).block_until_ready()
print(jax.config.jax_compilation_cache_dir, jax.config.jax_compilation_cache_max_size)
"""


def run(**environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    command = [sys.executable, "-W", "error", "-c", CODE]
    done = subprocess.run(
        command, env=kept | environment, check=True, capture_output=True, text=True
    )
    assert not done.stderr, done.stderr
    return done.stdout.split()


def test_programs_are_kept_in_the_cache_folder(tmp_path):
    folder, size = run(JREID_CACHE=str(tmp_path))
    assert folder == str(tmp_path / "compiled") and int(size) == 2 * 1024**3
    assert any((tmp_path / "compiled").iterdir())


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert run(JREID_CACHE=str(tmp_path / "file"))[0] == "None"


def test_the_users_own_folder_stays(tmp_path):
    own = str(tmp_path / "own")
    assert run(JAX_COMPILATION_CACHE_DIR=own, JREID_CACHE=str(tmp_path))[0] == own
